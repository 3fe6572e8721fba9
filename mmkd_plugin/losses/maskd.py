"""MasKD, masked distillation with receptive tokens: several parts of a map.

Shapes: B images, L levels, T tokens; C channels and h x w places of a level.
"""

from collections.abc import Sequence

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from ..arguments import check_integer, check_path, check_weight, shown
from .common.maps import (
    Maps,
    build_adapters,
    check_channels,
    check_width,
    prepare_maps,
)
from .common.mask_tokens import MaskTokens, check_tokens, read_tokens
from .common.reduction import numbers_in_use

__all__ = ['MasKDLoss']


@MODELS.register_module()
class MasKDLoss(nn.Module):
    """Distance of maps within masks that the teacher's maps were found by.

    With the masks m_t of T trained tokens on the teacher's map, their
    shares pi_t (:class:`~mmkd_plugin.losses.common.mask_tokens.MaskTokens`)
    and F' = conv1x1(F^S)::

        loss = sum over levels of mean over images of sum over t of
            pi_t mean_c [ sum_hw m_t^2 (F' - F^T)^2 / sum_hw m_t ]

    After ``warmup`` steps, m_t is multiplied by the mask of the same token
    on F', which gets no gradient.  A token without any place adds 0.

    The tokens are those of a file, and frozen: they are found beforehand, in
    a short training with the teacher.  Only the convolutions are trained
    here; they are of no use after training.

    Args:
        tokens: Path or URL of the file.  It is read by :meth:`prepare`, or
            by the first step, and not again if the loss has the state of a
            step.
        num_tokens: Number T of tokens per level.
        warmup: Number of steps before the student's masks count.
        student_channels: Channels of the student's maps, (L,).
        teacher_channels: Channels of the teacher's maps, (L,).
        loss_weight: Factor of the loss, 0 or above.

    Raises:
        TypeError, ValueError: An argument has the wrong type or is out of
            range.

    References:
        Huang, Zhang, You, Wang, Qian, Cao, Xu. Masked Distillation with
        Receptive Tokens. ICLR 2023, arXiv 2205.14589, the section on masked
        distillation.  That the mask is squared, and the student's mask is
        that of F', as in the authors' code.
    """

    kind = 'features'
    default_tap = dict(type='FeatureTap')
    extra_repr = numbers_in_use

    def __init__(
        self,
        *,
        tokens: str,
        warmup: int,
        loss_weight: float,
        student_channels: Sequence[int],
        teacher_channels: Sequence[int],
        num_tokens: int = 6,
    ) -> None:
        super().__init__()
        check_path('tokens', tokens, 'a path or URL')
        check_integer('warmup', warmup)
        check_integer('num_tokens', num_tokens, 1)
        check_weight(loss_weight=loss_weight)
        check_channels(
            student_channels=student_channels,
            teacher_channels=teacher_channels,
        )
        self.tokens = tokens
        self.warmup = warmup
        self.num_tokens = num_tokens
        self.loss_weight = loss_weight
        self.student_channels = student_channels
        self.teacher_channels = teacher_channels
        self.adapters = build_adapters(student_channels, teacher_channels)
        self.masks = nn.ModuleList(
            MaskTokens(channels, num_tokens) for channels in teacher_channels
        ).requires_grad_(False)
        self.steps: Tensor
        self.register_buffer('steps', torch.zeros((), dtype=torch.int64))
        self._prepared = False

    @torch.compiler.disable
    def prepare(self) -> str:
        """Read the tokens, unless the loss has the state of a step.

        Returns:
            For which teacher they were trained, a sentence for the log: those
            of another one may fit too.  Empty if none were read.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it holds no tokens, or they do not fit.
        """
        found = ''
        if not self._prepared and not self.steps:
            path = str(self.tokens)
            state, meta = read_tokens(path)
            check_tokens(state, self.masks.state_dict(), path)
            self.masks.load_state_dict(state)
            found = f'The tokens of {path} do not name their teacher.'
            if 'teacher' in meta:
                name = shown(meta['teacher'])
                found = f'The tokens of {path} are for the teacher {name}.'
        self._prepared = True
        return found

    def forward(
        self,
        student: Maps,
        teacher: Maps,
        labels: object,
        weights: Tensor | None = None,
    ) -> Tensor:
        """Loss of a batch.

        Args:
            student: L maps of shape (B, C, h, w).
            teacher: L maps of the same batch and sizes.
            labels: Not used; all losses have the same signature.
            weights: Not used.

        Returns:
            A scalar.

        Raises:
            FileNotFoundError: See :meth:`prepare`.
            TypeError, ValueError: The maps or tokens are not those that the
                arguments tell of.
        """
        self.prepare()
        losses = []
        for i, (own, target) in enumerate(
            prepare_maps(student, teacher, self.adapters)
        ):
            check_width('teacher', target, self.teacher_channels[i], i)
            distance = (own - target).square().mean(dim=1)
            weight = self._weight(self.masks[i], own, target)
            losses.append((weight * distance).sum() / len(own))
        self.steps += 1
        return self.loss_weight * torch.stack(losses).sum()

    @torch.no_grad()
    def _weight(
        self, tokens: nn.Module, own: Tensor, target: Tensor
    ) -> Tensor:
        """Weight of each place of a level, (B, h, w)."""
        masks = tokens.masks(target)  # type: ignore[operator]
        shares = tokens.shares(target)  # type: ignore[operator]
        own_masks = tokens.masks(own)  # type: ignore[operator]
        # Chosen without reading the number, which would synchronize the GPU.
        masks = torch.where(self.steps < self.warmup, masks, masks * own_masks)
        # A mask of zeros has no place, not a quotient of zeros.
        area = masks.sum(dim=(2, 3), keepdim=True)
        parts = masks / area.clamp(min=torch.finfo(area.dtype).tiny)
        return torch.einsum('btyx,btyx,bt->byx', masks, parts, shares)
