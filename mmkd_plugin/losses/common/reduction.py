"""Checks of tensors, preparation of logits, and weighted means.

Shapes: N samples (images or sampled RoIs), C classes (K + 1 for an RoI head,
background last).
"""

import torch
from torch import Tensor, nn
from torch import distributed as dist

from ...exceptions import MMKDTypeError, MMKDValueError


def check_labels(labels: Tensor | None, student: Tensor) -> None:
    """Raise unless ``labels`` holds one int64 class id per row.

    Ids are not compared with C, because that would synchronize the GPU at
    every step. An id outside 0 .. C - 1 raises on the CPU and triggers a
    device-side assertion on CUDA.

    Raises:
        TypeError: There are no ``labels``, or they are not int64, as with
            soft labels.
        ValueError: ``labels`` is not of shape (N,), as with one-hot labels.
    """
    if labels is None or labels.dtype != torch.int64:
        raise MMKDTypeError(
            'Expected argument `labels` to be class ids of type torch.int64 '
            f'but got {getattr(labels, "dtype", None)}; soft labels (Mixup, '
            'CutMix) name no single class: switch them off, or distil with '
            '`KDLoss` or `CKDLoss`.'
        )
    if labels.shape != student.shape[:1]:
        raise MMKDValueError(
            'Expected argument `labels` to be class ids of shape '
            f'{tuple(student.shape[:1])} but got {tuple(labels.shape)}; give '
            'one class id per row (`argmax(1)` of one-hot labels).'
        )


def check_weights(weights: Tensor, rows: Tensor) -> None:
    """Raise ValueError unless ``weights`` holds one number per row."""
    if weights.shape != rows.shape[:1]:
        raise MMKDValueError(
            'Expected argument `weights` to be of shape '
            f'{tuple(rows.shape[:1])} but got {tuple(weights.shape)}; give '
            'one weight per row.'
        )


def numbers_in_use(loss: nn.Module) -> str:
    """The arguments of a loss, for its repr."""
    return ', '.join(
        f'{name}={value}'
        for name, value in vars(loss).items()
        if name != 'training' and not name.startswith('_')
    )


def standardize_logits(logits: Tensor) -> Tensor:
    """``(z - mean) / (1e-7 + std)`` of each row, with the unbiased std.

    Only the relations between the classes of a row remain: rows that differ
    by a shift and a positive scale become equal.

    Args:
        logits: Logits z of shape (N, C), float32 or float64.

    Returns:
        Same shape and dtype. A row of equal logits has no scale: it gives
        zeros with gradient 0, where the formula would give about 1e7. The
        same holds for every row if C = 1.

    References:
        Sun, Ren, Li, Wang, Cao. Logit Standardization in Knowledge
        Distillation. CVPR 2024, arXiv 2403.01427, the Z-score pre-process;
        1e-7 and the unbiased std are those of the authors' code.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[1.0, 2.0, 3.0], [50.0, 70.0, 90.0]])
        >>> standardize_logits(logits).round(decimals=4).tolist()
        [[-1.0, 0.0, 1.0], [-1.0, 0.0, 1.0]]
    """
    # A shift changes nothing, but this one makes rows of equal logits exactly
    # 0. Subtracting only the mean, which is rounded, would not.
    logits = logits - logits[:, :1].detach()
    centred = logits - logits.mean(dim=1, keepdim=True)
    # Not `std`, which is NaN if C = 1 and warns if N = 0.
    degrees = max(logits.shape[1] - 1, 1)
    std = centred.norm(dim=1, keepdim=True) / degrees**0.5
    return centred / (1e-7 + std.masked_fill(std == 0, torch.inf))


def prepare_logits(
    student: Tensor, teacher: Tensor, *, standardize: bool = False
) -> tuple[Tensor, Tensor]:
    """Check both logits, upcast them, and detach the teacher.

    Args:
        student: Logits of shape (N, C), any floating type.
        teacher: Logits of shape (N, C), any floating type.
        standardize: Whether to apply :func:`standardize_logits` to both.

    Returns:
        Both in one dtype: float64 if either was, float32 otherwise. The
        student keeps its graph, the teacher gets no gradient.

    Raises:
        ValueError: The shapes differ or are not (N, C).
    """
    if student.ndim != 2 or student.shape != teacher.shape:
        raise MMKDValueError(
            'Expected arguments `student` and `teacher` to be logits of one '
            f'shape (N, C) but got {tuple(student.shape)} and '
            f'{tuple(teacher.shape)}; teacher and student need the same rows '
            'and the same classes.'
        )
    dtype = torch.promote_types(student.dtype, teacher.dtype)
    dtype = torch.promote_types(dtype, torch.float32)
    student, teacher = student.to(dtype), teacher.detach().to(dtype)
    if standardize:
        return standardize_logits(student), standardize_logits(teacher)
    return student, teacher


def weighted_mean(losses: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean of per-sample losses.

    Args:
        losses: Shape (N,).
        weights: Non-negative, shape (N,). None: every weight is 1.

    Returns:
        ``sum(weights * losses) / n``, where n is the number of samples
        with weight > 0, at least 1. If N = 0 it is 0 and still attached to
        the graph.

    Raises:
        ValueError: ``weights`` is not of shape (N,).
    """
    if weights is None:
        # The mean of no rows would be NaN.
        return losses.mean() if len(losses) else losses.sum()
    check_weights(weights, losses)
    rows = (weights > 0).sum().clamp(min=1)
    return (losses * weights.to(losses.dtype)).sum() / rows


def counted_sum(losses: Tensor, weights: Tensor | None = None) -> Tensor:
    """``sum(weights * losses)``.

    A row of weight 0 does not count, even if its loss is infinite or NaN.

    Args:
        losses: Shape (N,).
        weights: Non-negative, shape (N,). None: every weight is 1.

    Returns:
        A scalar; 0 and attached to the graph if no row counts.

    Raises:
        ValueError: ``weights`` is not of shape (N,).
    """
    if weights is None:
        return losses.sum()
    check_weights(weights, losses)
    weights = weights.detach().to(losses.dtype)
    return (weights * losses.masked_fill(weights == 0, 0)).sum()


def mean_over_processes(number: Tensor) -> Tensor:
    """Mean of a scalar over the processes of the default group.

    All processes must call it at the same place. Without a group it is the
    number itself.

    Args:
        number: A floating scalar; it gets no gradient.
    """
    number = number.detach()
    if not (dist.is_available() and dist.is_initialized()):
        return number
    number = number / dist.get_world_size()
    dist.all_reduce(number)
    return number


def per_positive(
    losses: Tensor, weights: Tensor | None, positives: Tensor
) -> Tensor:
    """Sum of per-sample losses over the number of positive samples.

    With the processes' mean of that number, the mean of the gradients over
    processes is the gradient of the whole batch. All processes must call it
    at the same place.

    Args:
        losses: Shape (N,).
        weights: Non-negative, shape (N,). None: every weight is 1.
        positives: Which samples are positive, bool of shape (N,), whether or
            not they have a weight.

    Returns:
        ``sum(weights * losses) / n``, where n is the number of positives,
        averaged over the processes, at least 1. 0 and attached to the graph
        if no row counts.

    Raises:
        ValueError: ``weights`` is not of shape (N,).
    """
    total = counted_sum(losses, weights)
    count = mean_over_processes(positives.sum(dtype=losses.dtype))
    return total / count.clamp(min=1)


def positive_rows(
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    weights: Tensor | None = None,
) -> Tensor:
    """Which rows count in a loss of the positives alone, for the first step.

    Such a loss has it as ``counted``: a first step without positive places is
    no fault.

    Args:
        student: Logits of shape (N, C).
        teacher: Not used; all losses have the same signature.
        labels: Class ids of shape (N,); C for background.
        weights: Non-negative, shape (N,). None: every weight is 1.

    Returns:
        Bool of shape (N,).
    """
    positives = labels < student.shape[1]
    return positives if weights is None else positives & (weights > 0)


def per_weight(losses: Tensor, weights: Tensor) -> Tensor:
    """Sum of per-sample losses over the sum of their weights.

    As :func:`per_positive`, with the processes' mean of that sum.

    Args:
        losses: Shape (N,).
        weights: Non-negative, shape (N,).

    Returns:
        ``sum(weights * losses) / sum(weights)``; 0 and attached to the graph
        if no row counts.

    Raises:
        ValueError: ``weights`` is not of shape (N,).
    """
    total = counted_sum(losses, weights)
    divisor = mean_over_processes(weights.sum(dtype=losses.dtype))
    # Clamped where no row counts: the sum is then 0.
    return total / divisor.clamp(min=torch.finfo(losses.dtype).tiny)
