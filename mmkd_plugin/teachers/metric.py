"""How good the teacher is on the student's validation set."""

import hashlib
import json
from pathlib import Path

import torch
from mmengine.dist import broadcast_object_list, is_main_process

from ..arguments import check_number, shown
from ..checkpoints.atomic import write_text
from ..exceptions import MMKDTypeError, MMKDValueError
from .teacher import Teacher

CACHE = 'teacher_metrics.json'


def teacher_metrics(runner, teacher: Teacher) -> dict:
    """Evaluate a teacher with the runner's validation set and evaluator.

    The teacher sees the validation images through its own preprocessing.
    The result is cached in the work directory, by a hash of the teacher's
    weights and the validation settings.

    Args:
        runner (Runner): In training, with a validation loop.
        teacher: Prepared for the runner's model.

    Returns:
        Value of each metric by name.

    Raises:
        ValueError: If the teacher lacks classes of the student.
    """
    teacher.refuse_evaluation()
    cache = Path(runner.work_dir, CACHE)
    key = _fingerprint(runner, teacher)
    known = [None]
    if is_main_process() and cache.is_file():
        known = [json.loads(cache.read_text()).get(key)]
    broadcast_object_list(known)
    if known[0] is not None:
        return known[0]
    loop = runner.val_loop
    runner.logger.info(
        f'Evaluating the teacher on {len(loop.dataloader.dataset)} images ...'
    )
    # Validation must not change the random numbers of the student.
    with torch.random.fork_rng(), torch.no_grad():
        for data in loop.dataloader:
            outputs = teacher.relabel(teacher.predict(data))
            loop.evaluator.process(data_samples=outputs, data_batch=data)
        metrics = loop.evaluator.evaluate(len(loop.dataloader.dataset))
    metrics = {name: float(value) for name, value in metrics.items()}
    if is_main_process():
        kept = json.loads(cache.read_text()) if cache.is_file() else {}
        write_text(cache, json.dumps({**kept, key: metrics}, indent=2))
    return metrics


def check_validation(runner) -> None:
    """Raise unless the runner has a validation set for the teacher.

    Raises:
        ValueError: If the runner has none.
    """
    if runner.val_loop is None:
        raise MMKDValueError(
            '`evaluate_teacher=True` evaluates the teacher on the validation '
            'set, but the config has none: give `val_dataloader`, '
            '`val_evaluator` and `val_cfg`, or set `evaluate_teacher=False`.'
        )


def _fingerprint(runner, teacher: Teacher) -> str:
    """Hash of everything that the metrics depend on."""
    digest = hashlib.sha256()
    for name, value in teacher.model.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    for setting in ('val_dataloader', 'val_evaluator'):
        digest.update(repr(runner.cfg.get(setting)).encode())
    if teacher.input_size is not None:
        digest.update(repr(teacher.input_size).encode())
    return digest.hexdigest()


def refuse_weak_teacher(
    runner, teacher: Teacher, min_metric: dict | None = None
) -> None:
    """Log the teacher's metrics, and refuse a teacher that is too weak.

    Args:
        runner (Runner): As in :func:`teacher_metrics`.
        teacher: As in :func:`teacher_metrics`.
        min_metric: Least value of each metric by name.

    Raises:
        ValueError: If a metric is below its least value, or unknown, or the
            teacher cannot be evaluated.
    """
    _check_predicts(teacher)
    metrics = teacher_metrics(runner, teacher)
    runner.logger.info(
        f'Teacher {teacher.source} on the validation set: '
        + ', '.join(f'{name} {value:.4g}' for name, value in metrics.items())
    )
    for name, least in (min_metric or {}).items():
        if name not in metrics:
            raise MMKDValueError(
                f'`min_metric` names {name!r}, but the evaluator gives '
                f'{sorted(metrics)}: name one of them.'
            )
        if not metrics[name] >= least:
            raise MMKDValueError(
                f'The teacher {teacher.source} reaches {name} '
                f'{metrics[name]:.4g} on the validation set, below the '
                f'{least} of `min_metric`: check its config, weights and '
                'classes, or lower `min_metric`.'
            )


def _check_predicts(teacher: Teacher) -> None:
    head = getattr(teacher.model, 'head', teacher)
    reason = ''
    if head is None:
        reason = 'has no head, and predicts nothing'
    elif head is teacher and teacher.input_size is not None:
        reason = "sees resized images, to which a detector's boxes belong"
    if reason:
        raise MMKDValueError(
            f'The teacher {type(teacher.model).__name__} cannot be evaluated, '
            f'because it {reason}: take `evaluate_teacher` and `min_metric` '
            'out of the hook.'
        )


def check_min_metric(min_metric: object) -> None:
    """Raise unless ``min_metric`` is None or holds a number per metric.

    Raises:
        TypeError: If it is no dict with text as keys.
        ValueError: If a least value is no number.
    """
    if min_metric is None:
        return
    if not isinstance(min_metric, dict) or not all(
        isinstance(name, str) for name in min_metric
    ):
        raise MMKDTypeError(
            'Expected argument `min_metric` to be a dict with the names of '
            f'metrics and their least values but got {shown(min_metric)}.'
        )
    for name, least in min_metric.items():
        check_number(f'min_metric.{name}', least, -1e9, 1e9)
