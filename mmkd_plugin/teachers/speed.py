"""How a teacher computes: what makes its forward cheaper, and by how much.

A teacher learns nothing, so of all that a network in training must keep,
such as normalisation apart from convolution, it needs nothing.
"""

import contextlib
import copy

import torch
import torch.nn as nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._pytree import tree_leaves

from ..arguments import check_choice, check_switch
from ..exceptions import MMKDValueError

PRECISIONS = {
    'same': None,
    'fp32': torch.float32,
    'bf16': torch.bfloat16,
    'fp16': torch.float16,
}
# What float32 may change when batch normalisation is folded, as a share of
# the largest feature; what is folded wrongly changes about all of it.
ROUNDING = 1e-4


class TeacherSpeed:
    """The settings of a teacher that decide what its forward costs.

    Args:
        precision: 'same' as the student, 'fp32', 'bf16' or 'fp16'.
        channels_last: The memory format of its maps; None
            takes that of the student.
        fuse_bn: Whether to fold batch normalisation into the
            convolutions before it where that changes no feature but by
            rounding.
        compile: Whether to compile backbone and neck by
            ``torch.compile``, which rounds differently too.

    Attributes:
        folded (bool): Whether batch normalisation was.

    Raises:
        TypeError, ValueError: If a setting is none of these.
    """

    def __init__(
        self,
        precision: str = 'same',
        channels_last: bool | None = None,
        fuse_bn: bool = True,
        compile: bool = False,
    ) -> None:
        check_choice('teacher.precision', precision, *PRECISIONS)
        check_switch(
            **{'teacher.fuse_bn': fuse_bn, 'teacher.compile': compile}
        )
        if channels_last is not None:
            check_switch(**{'teacher.channels_last': channels_last})
        self.dtype = PRECISIONS[precision]
        self.channels_last = channels_last
        self.fuse_bn = fuse_bn
        self.compile = compile
        self.folded = False

    def apply(self, model: nn.Module, student: nn.Module) -> None:
        """Prepare a teacher for computing beside its student.

        Args:
            model: The teacher, in eval mode on the CPU, with its
                weights; changed in place and moved.
            student: The model in training.

        Raises:
            ValueError: If the device cannot compute in that precision.
        """
        if self.fuse_bn:
            self.folded = fold_batch_norms(model)
        device = next(student.parameters()).device
        model.to(device)
        last = self.channels_last
        if _is_channels_last(student) if last is None else last:
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._check_precision(device)
        if self.compile:
            for part in _feature_parts(model).values():
                part.compile()

    def autocast(self, device_type: str):
        """The context that the teacher computes in."""
        if self.dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(
            device_type,
            dtype=self.dtype,
            enabled=self.dtype != torch.float32,
        )

    def _check_precision(self, device: torch.device) -> None:
        """Try autocast, which some devices refuse and some ignore."""
        if self.dtype in (None, torch.float32):
            return
        image = torch.ones(1, 1, 3, 3, device=device)
        found: object = 'an error'
        with contextlib.suppress(RuntimeError), self.autocast(device.type):
            found = torch.conv2d(image, image).dtype
        if found != self.dtype:
            raise MMKDValueError(
                f'The teacher was given the precision {self.dtype}, but a '
                f'convolution on {device} gives {found}: set '
                "`precision='fp32'` in `teacher`."
            )


@torch.no_grad()
def fold_batch_norms(model: nn.Module) -> bool:
    """Fold batch normalisation into the convolutions before it.

    mmcv takes for the convolution before it the one that was registered
    before it.  A backbone or neck where that is wrong has other features
    then, of which one image of noise tells, and is left as it was.

    Args:
        model: In eval mode on the CPU; its ``backbone`` and
            ``neck`` are replaced.

    Returns:
        Whether one was.
    """
    seed = torch.Generator().manual_seed(0)
    x = torch.randn(1, 3, 64, 64, generator=seed)
    changed = False
    for name, part in _feature_parts(model).items():
        try:
            wanted = part(x)
        except Exception:
            # It refuses images of another size than its own, by an error of
            # its own. What is wrong with a model shows in the first step.
            break
        if any(isinstance(m, _BatchNorm) for m in part.modules()):
            folded = _fold(part)
            if folded is not None and _is_alike(folded(x), wanted):
                setattr(model, name, folded)
                changed = True
        x = wanted
    return changed


def _fold(part: nn.Module) -> nn.Module | None:
    """A folded copy; None if sizes tell that the order is another one."""
    from mmcv.cnn import fuse_conv_bn

    try:
        folded = fuse_conv_bn(copy.deepcopy(part))
    except RuntimeError:
        return None
    folded.requires_grad_(False).eval()
    return folded


def _is_alike(found, wanted) -> bool:
    """Whether features are the same but for rounding."""
    return all(
        (a - b).abs().max() < ROUNDING * b.abs().max()
        for a, b in zip(tree_leaves(found), tree_leaves(wanted))
    )


def _feature_parts(model: nn.Module) -> dict[str, nn.Module]:
    """Name to module of what makes the features of an image, in order."""
    parts = {name: getattr(model, name, None) for name in ('backbone', 'neck')}
    return {name: part for name, part in parts.items() if part is not None}


def _is_channels_last(model: nn.Module) -> bool:
    """Whether the weights of its convolutions are in that format."""
    return any(
        weight.is_contiguous(memory_format=torch.channels_last)
        and not weight.is_contiguous()
        for weight in model.parameters()
        if weight.ndim == 4
    )
