"""What the taps know of the RoI heads of two-stage detectors.

N RoIs, K classes, C = K + 1 logits with the background last; D = K boxes per
RoI, or 1 if the head is class-agnostic.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch.nn as nn
from torch import Tensor

from ...exceptions import MMKDRuntimeError, MMKDTypeError
from ..sigmoid import uses_sigmoid
from .roi_align import to_roi_align

# Attributes of an RoI head: whether it reads more than RoIs.
BESIDE_ROIS = ('with_semantic', 'with_glbctx')


class BoxHead(NamedTuple):
    """A box head of a detector.

    Attributes:
        extractor: Cuts the features of RoIs out of the maps.
        head: Classifies and refines them.
    """

    extractor: nn.Module
    head: nn.Module


class Outputs(NamedTuple):
    """What a box head says of its RoIs.

    Attributes:
        logits: (N, C).
        deltas: (N, 4 D), class-major; None if it refines no boxes.
    """

    logits: Tensor
    deltas: Tensor | None


class OnRoIs:
    """A question to a teacher: its box head on given RoIs.

    Questions on the same tensor of RoIs are equal, so that several taps share
    one pass.

    Args:
        rois: Image index and corners x1, y1, x2, y2 in pixels of the padded
            batch, (N, 5).
        images: Number of images that they belong to.
        stage: Of a cascade, which of its box heads.
    """

    def __init__(self, rois: Tensor, images: int, stage: int = 0) -> None:
        self.rois = rois
        self.images = images
        self.stage = stage

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, OnRoIs)
            and other.rois is self.rois
            and other.stage == self.stage
        )

    def __hash__(self) -> int:
        return id(self.rois)

    def __call__(
        self, model: nn.Module, features: Sequence[Tensor]
    ) -> Outputs:
        """Logits and deltas of the RoIs.

        Args:
            model: A detector.
            features: Feature maps, each (B, channels, h, w).

        Raises:
            RuntimeError: If the maps are of another number of images, or the
                detector has no box head of the stage.
        """
        if len(features[0]) != self.images:
            raise MMKDRuntimeError(
                f'The teacher has maps of {len(features[0])} images, but the '
                f'RoIs of the student lie in {self.images}: RoIHeadTap needs '
                'models that see each image once.'
            )
        # Float32 even under autocast: half precision would round the RoIs.
        maps = [x.float() for x in to_roi_align(features)]
        count = len(box_heads(model))
        if self.stage >= count:
            raise MMKDRuntimeError(
                f'The teacher {type(model).__name__} has no box head for '
                f'stage {self.stage} of the student, but another teacher of '
                'its hook has one: give a hook teachers with equally many '
                'box heads.'
            )
        stage = (self.stage,) if is_cascade(model) else ()
        # The only method that classifies given boxes, shared head included.
        found = model.roi_head._bbox_forward(*stage, maps, self.rois.detach())
        return Outputs(found['cls_score'], found.get('bbox_pred'))


def is_cascade(model: nn.Module) -> bool:
    """Whether a detector has several box heads, one after the other."""
    return isinstance(
        getattr(getattr(model, 'roi_head', None), 'bbox_head', None),
        nn.ModuleList,
    )


def box_heads(model: nn.Module) -> list[BoxHead]:
    """The box heads of a detector that :func:`refuse_roi_head` accepts.

    Args:
        model: Not wrapped.

    Returns:
        One; of a cascade, that of each stage.
    """
    roi_head: Any = model.roi_head
    parts = roi_head.bbox_roi_extractor, roi_head.bbox_head
    if is_cascade(model):
        return [BoxHead(*pair) for pair in zip(*parts)]
    return [BoxHead(*parts)]


def used_of(teacher: nn.Module, stages: int) -> str:
    """Which part of a teacher's RoI head is read, for the log.

    Args:
        teacher: A detector that :func:`refuse_roi_head` accepts.
        stages: Number of box heads of the student.
    """
    count = len(box_heads(teacher))
    if count == stages > 1:
        return f"its {count} box heads on the student's {count} stages"
    used = (
        'its box head' if count == 1 else f'the first of its {count} box heads'
    )
    if stages > 1:
        return f"{used} on the first of the student's {stages} stages"
    return used


def refuse_roi_head(role: str, model: nn.Module) -> None:
    """Refuse a model whose RoI head the taps cannot read.

    Args:
        role: 'student' or 'teacher'.
        model: Not wrapped.

    Raises:
        TypeError: If it has no RoI head of a known kind.
    """
    name = type(model).__name__
    head = getattr(model, 'roi_head', None)
    found = getattr(head, 'bbox_head', None)
    for part in found if isinstance(found, nn.ModuleList) else [found]:
        _refuse_box_head(role, name, head, part)
    # A student computes its own logits, with whatever its head reads.
    if role != 'student' and any(
        getattr(head, reads, False) for reads in BESIDE_ROIS
    ):
        raise MMKDTypeError(
            f'The {type(head).__name__} of the {role} {name} adds features '
            'of a semantic branch to those of the RoIs, but RoIHeadTap gives '
            'it RoIs alone: use a CascadeRoIHead or a StandardRoIHead.'
        )


def _refuse_box_head(role: str, name: str, head: Any, box_head: Any) -> None:
    """Refuse one of the box heads of an RoI head."""
    if not isinstance(
        getattr(box_head, 'loss_cls', None), nn.Module
    ) or not hasattr(head, '_bbox_forward'):
        raise MMKDTypeError(
            f'The {role} {name} has no RoI head with a box head, but '
            'RoIHeadTap reads one: use a detector with a StandardRoIHead, '
            'such as Faster or Mask R-CNN.'
        )
    reason = _row_mismatch(role, head, box_head)
    if reason:
        raise MMKDTypeError(
            f'The {type(head).__name__} of the {role} {name} {reason}, but '
            'RoIHeadTap needs one row of logits per RoI of an image: '
            'use a StandardRoIHead.'
        )
    loss_cls = box_head.loss_cls
    if uses_sigmoid(loss_cls) or getattr(box_head, 'custom_activation', False):
        raise MMKDTypeError(
            f'The box head of the {role} {name} is trained by '
            f'{type(loss_cls).__name__} with sigmoid or custom activation, '
            'but distillation of classification logits needs a softmax over '
            'the classes and background: set `use_sigmoid=False`.'
        )
    logits = getattr(getattr(box_head, 'fc_cls', None), 'out_features', None)
    expected = box_head.num_classes + 1
    if logits not in (None, expected):
        raise MMKDTypeError(
            f'The box head of the {role} {name} gives {logits} logits for '
            f'{box_head.num_classes} classes, but RoIHeadTap expects '
            f'{expected}, the background last: use a head with one logit '
            'per class.'
        )


def _row_mismatch(role: str, head: nn.Module, box_head: nn.Module) -> str:
    """Why a head does not give one row per RoI; empty if it does."""
    if not getattr(box_head, 'with_cls', True):
        return 'classifies nothing'
    if isinstance(getattr(box_head, 'fc_cls', None), nn.ModuleList):
        return 'predicts several objects per RoI'
    if getattr(head, 'num_branch', 1) > 1 and (
        role == 'student' or getattr(head, 'test_branch_idx', -1) == -1
    ):
        return f'sees each image {head.num_branch} times'
    return ''


def refuse_crossing(student: BoxHead, teacher: BoxHead) -> None:
    """Refuse a teacher's box head that cannot run on the student's maps.

    Raises:
        TypeError: If the maps differ in channels or strides.
    """
    for name in ('out_channels', 'featmap_strides'):
        found = [
            getattr(part.extractor, name, None) for part in (student, teacher)
        ]
        if found[0] != found[1]:
            raise MMKDTypeError(
                'Crossing needs a teacher whose box head can read the '
                f"student's maps, but their `{name}` differ: student "
                f'{found[0]}, teacher {found[1]}; take `crossed=True` out, '
                "or use a neck like the teacher's."
            )
