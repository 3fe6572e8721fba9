"""What makes the forward of a teacher cheaper.

A teacher is not trained, so it does not need what training needs, such as
batch normalisation apart from the convolution.
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
# Largest change by rounding when batch normalisation is folded, relative to
# the largest feature; wrong folding changes it by about 1.
ROUNDING = 1e-4


class TeacherSpeed:
    """The settings of a teacher that decide the cost of its forward.

    Args:
        precision: 'same' as the student, 'fp32', 'bf16' or 'fp16'.
        channels_last: Whether its feature maps are channels last; None: as
            those of the student.
        fuse_bn: Whether to fold batch normalisation into the convolutions
            before it where that changes features only by rounding.
        compile: Whether to compile backbone and neck with
            ``torch.compile``, which rounds differently too.

    Attributes:
        folded (bool): Whether batch normalisation was folded.

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

    def keep_intact(self) -> None:
        """Leave out what changes the outputs of single modules.

        Raises:
            ValueError: If the teacher is to be compiled.
        """
        if self.compile:
            raise MMKDValueError(
                'The teacher is to be compiled, but a tap reads the outputs '
                'of its modules, which a compiled model does not show: set '
                '`compile=False` in `teacher`, or read the neck.'
            )
        self.fuse_bn = False

    def apply(self, model: nn.Module, student: nn.Module) -> None:
        """Prepare a teacher for the device of its student.

        Args:
            model: The teacher, in eval mode on the CPU, with its weights;
                changed in place and moved to the student's device.
            student: The model in training.

        Raises:
            ValueError: If the device does not support the precision.
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
        """The autocast context of the teacher."""
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

    mmcv folds into the convolution that was registered before it.  Where that
    is the wrong one, the features of a noise image change, and the backbone
    or neck is left as it was.

    Args:
        model: In eval mode on the CPU; its ``backbone`` and ``neck`` are
            replaced.

    Returns:
        Whether one of them was replaced.
    """
    seed = torch.Generator().manual_seed(0)
    x = torch.randn(1, 3, 64, 64, generator=seed)
    changed = False
    for name, part in _feature_parts(model).items():
        try:
            expected = part(x)
        except Exception:
            # It may refuse the size of this image with any exception. A real
            # fault of the model shows in the first step.
            break
        if any(isinstance(m, _BatchNorm) for m in part.modules()):
            folded = _fold(part)
            if folded is not None and _is_close(folded(x), expected):
                setattr(model, name, folded)
                changed = True
        x = expected
    return changed


def _fold(part: nn.Module) -> nn.Module | None:
    """A folded copy; None if sizes do not fit, so the order differs."""
    from mmcv.cnn import fuse_conv_bn

    try:
        folded = fuse_conv_bn(copy.deepcopy(part))
    except RuntimeError:
        return None
    folded.requires_grad_(False).eval()
    return folded


def _is_close(found, expected) -> bool:
    """Whether features are equal up to rounding."""
    return all(
        (a - b).abs().max() < ROUNDING * b.abs().max()
        for a, b in zip(tree_leaves(found), tree_leaves(expected))
    )


def _feature_parts(model: nn.Module) -> dict[str, nn.Module]:
    """The modules that compute the features, by name and in order."""
    parts = {name: getattr(model, name, None) for name in ('backbone', 'neck')}
    return {name: part for name, part in parts.items() if part is not None}


def _is_channels_last(model: nn.Module) -> bool:
    """Whether convolution weights are channels last."""
    return any(
        weight.is_contiguous(memory_format=torch.channels_last)
        and not weight.is_contiguous()
        for weight in model.parameters()
        if weight.ndim == 4
    )
