"""What the taps know of the dense heads of one-stage detectors.

B images, L levels of h_l x w_l places with A anchors or points each, M rows
over all of them; C classes.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch.nn as nn
from torch import Tensor

from ...exceptions import MMKDTypeError
from ..anchors import refuse_anchors
from ..coding import refuse_coder

# Of a subclass such as RTMDetHead, which is an ATSSHead, the nearest counts.
FAMILIES = ('RetinaHead', 'FCOSHead', 'ATSSHead', 'GFLHead', 'RTMDetHead')
# Those that code boxes as deltas to anchors.
OF_DELTAS = ('RetinaHead', 'ATSSHead')
# Subclasses of them whose rows or labels are others.
REFUSED = dict(
    TOODHead='gives probabilities instead of logits',
    PAAHead='labels its rows by its own losses, image by image',
    FSAFHead='labels its rows by its own losses',
    PISARetinaHead='orders its rows by image instead of level',
    VFNetHead='is trained on qualities instead of labels',
    AutoAssignHead='weighs its rows instead of labelling them',
    FreeAnchorRetinaHead='weighs its rows instead of labelling them',
    ATSSVLFusionHead='scores the words of a text instead of classes',
    CondInstBboxHead='predicts masks too',
    RTMDetInsHead='predicts masks too',
)


class Maps(NamedTuple):
    """What a dense head says of its places.

    Attributes:
        scores: A map (B, A C, h_l, w_l) per level, binary logits.
        boxes: A map (B, A D, h_l, w_l) per level: deltas or distances,
            D = 4, or the logits of the bins of four distances.
    """

    scores: Sequence[Tensor]
    boxes: Sequence[Tensor]


def dense_maps(model: nn.Module, features: Sequence[Tensor]) -> Maps:
    """A question to a teacher: its dense head on its own feature maps.

    Args:
        model: A detector that :func:`refuse_dense` accepts.
        features: Result of its ``extract_feat``.
    """
    return Maps(*model.bbox_head(features)[:2])


def family_of(head: object) -> str:
    """Which of the known heads a head is, or is a subclass of; '' if none."""
    names = [kind.__name__ for kind in type(head).__mro__]
    return next((name for name in names if name in FAMILIES), '')


def _reason(head: object) -> str:
    """Why a subclass of a known head cannot be read; '' if it can."""
    names = [kind.__name__ for kind in type(head).__mro__]
    return next((REFUSED[name] for name in names if name in REFUSED), '')


def is_dense(model: nn.Module) -> bool:
    """Whether a model has a dense head of a known kind."""
    head = getattr(model, 'bbox_head', None)
    return family_of(head) != '' and _reason(head) == ''


def refuse_dense(role: str, model: nn.Module, tap: str) -> None:
    """Refuse a model whose dense head the taps cannot read.

    Args:
        role: What to call the model in the message.
        model: Not wrapped.
        tap: Name of the tap.

    Raises:
        TypeError: If it has no dense head of a known kind, or one with a
            softmax.
    """
    name = type(model).__name__
    head = getattr(model, 'bbox_head', None)
    known = f'{", ".join(FAMILIES[:-1])} or {FAMILIES[-1]}'
    if hasattr(model, 'roi_head'):
        raise MMKDTypeError(
            f'The {role} {name} is a two-stage detector, but {tap} reads the '
            f'dense head of a one-stage detector: use one with a {known}, or '
            'a tap of two-stage detectors such as RoIHeadTap.'
        )
    if not is_dense(model):
        found = 'has no dense head'
        if head is not None:
            reason = _reason(head) or 'is none of the heads that it knows'
            found = f'has a {type(head).__name__}, which {reason}'
        raise MMKDTypeError(
            f'The {role} {name} {found}, but {tap} reads one row of binary '
            f'logits per anchor or point: use a one-stage detector with a '
            f'{known}.'
        )
    if head.cls_out_channels != head.num_classes:
        raise MMKDTypeError(
            f'The {type(head).__name__} of the {role} {name} has '
            f'{head.cls_out_channels} logits for {head.num_classes} classes '
            f'with a softmax, but {tap} reads a sigmoid per class: set '
            '`use_sigmoid=True` in `bbox_head.loss_cls`.'
        )


def refuse_boxes(role: str, model: nn.Module, tap: str) -> None:
    """Refuse a model whose boxes the taps cannot decode.

    Args:
        role: What to call the model in the message.
        model: One that :func:`refuse_dense` accepts.
        tap: Name of the tap.

    Raises:
        TypeError: If its anchors have another coder than that of deltas.
    """
    head = model.bbox_head
    if family_of(head) in OF_DELTAS:
        refuse_coder(role, model, head, tap, 'RetinaHead')


def refuse_bins(student: nn.Module, teacher: nn.Module, tap: str) -> None:
    """Refuse heads without bins, or with other bins.

    Args:
        student, teacher: Those that :func:`refuse_dense` accepts.
        tap: Name of the tap.

    Raises:
        TypeError: If one has none, or their numbers differ.
    """
    numbers = []
    for role, model in (('student', student), ('teacher', teacher)):
        head = model.bbox_head
        if family_of(head) != 'GFLHead':
            raise MMKDTypeError(
                f'The {type(head).__name__} of the {role} '
                f'{type(model).__name__} predicts a box without bins, but '
                f'{tap} reads the bins of each distance: use a GFLHead, or '
                'DenseBoxTap.'
            )
        numbers.append(head.reg_max)
    if numbers[0] != numbers[1]:
        raise MMKDTypeError(
            f'{tap} needs the same bins of both, but their `reg_max` differ: '
            f'student {numbers[0]}, teacher {numbers[1]}; give both the same, '
            'or use DenseBoxTap.'
        )


def refuse_places(
    student: nn.Module, teacher: nn.Module, tap: str, *, boxes: bool
) -> None:
    """Refuse a teacher whose rows are not those of the student.

    Args:
        student, teacher: Those that :func:`refuse_dense` accepts.
        tap: Name of the tap.
        boxes: Whether boxes are compared, which needs the same anchors; of
            classes, only heads with several anchors per place do.

    Raises:
        TypeError: If strides, the number of anchors per place or, where they
            matter, the anchors differ.
    """
    generators: list[Any] = [
        model.bbox_head.prior_generator for model in (student, teacher)
    ]
    own, other = generators
    for name in ('strides', 'num_base_priors'):
        found = [list(getattr(part, name)) for part in generators]
        if found[0] != found[1]:
            what = 'strides' if name == 'strides' else 'anchors per place'
            raise MMKDTypeError(
                f'{tap} compares the same rows of both dense heads, but '
                f'their {what} differ: student {found[0]}, teacher '
                f'{found[1]}; use a teacher with those of the student.'
            )
    if boxes or own.num_base_priors[0] > 1:
        refuse_anchors(own, other, 'a dense head', 'dense head')
