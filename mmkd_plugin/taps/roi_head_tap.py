"""The classification logits of a two-stage detector's RoI head.

B images, N RoIs sampled over the batch, K classes, C = K + 1 logits with the
background last.
"""

from functools import partial
from typing import NamedTuple

import torch
import torch.nn as nn
from mmengine.registry import TASK_UTILS
from torch import Tensor

from ..arguments import check_weight
from ..exceptions import MMKDRuntimeError, MMKDTypeError
from .listener import Listener
from .reading import Reading
from .roi_align import convert_inputs, to_roi_align
from .sigmoid import uses_sigmoid


class Extracted(NamedTuple):
    """The RoIs that the box head's extractor got last.

    Attributes:
        rois: Image index and corners x1, y1, x2, y2 in pixels of the padded
            batch, (N, 5).
        images: Number of images, B.
    """

    rois: Tensor
    images: int


@TASK_UTILS.register_module()
class RoIHeadTap:
    """Read the training logits of an RoI head, and those of the teacher.

    The student's RoI head samples its RoIs as usual; the teacher's box head
    then runs on *those* RoIs, so row i of both logits belongs to the same
    box.  The teacher's RPN, assigner and sampler never run.

    Works with MMDetection's ``StandardRoIHead`` and its subclasses that
    classify every sampled RoI once, trained by softmax cross entropy (Faster
    and Mask R-CNN, Double-Head, PISA, Dynamic, Grid and Libra R-CNN).
    Samplers and PISA call ``loss_cls`` several times; the last call with the
    box head's latest logits counts.

    Args:
        background_weight: Factor of the weights of background RoIs in the
            distillation terms, >= 0. With 0 only foreground RoIs are
            distilled: background RoIs are then no negatives of CKD either,
            and do not count in ``kd_agreement`` and ``kd_teacher_acc``.

    Raises:
        ValueError: If ``background_weight`` is no number, negative or huge.
    """

    # Columns of the logits are classes, which are matched by name.
    per_class = True
    # Number of background logits, after those of the classes.
    background = 1
    background_weight: float

    def __init__(self, background_weight: float = 1.0) -> None:
        check_weight(background_weight=background_weight)
        self.background_weight = background_weight
        self._listener: Listener | None = None
        self.clear()

    def fits(self, model: nn.Module) -> bool:
        """Whether a model has the kind of head that this tap reads."""
        return hasattr(model, 'roi_head')

    def num_classes(self, model: nn.Module) -> int:
        """Number of classes of a detector, K."""
        return model.roi_head.bbox_head.num_classes

    def refuse(self, role: str, model: nn.Module) -> None:
        """Refuse a model whose RoI head the tap cannot read.

        Args:
            role: What to call the model in the message.
            model: A student or teacher, not wrapped.

        Raises:
            TypeError: If it has no RoI head of a known kind.
        """
        _check_roi_head(role, model)

    def attach(self, student: nn.Module) -> None:
        """Register hooks on a student that :meth:`refuse` accepts."""
        self._listener = Listener(
            student,
            _modules,
            self._hooks,
            lambda model: self.refuse('student', model),
        )

    def _hooks(self, student: nn.Module):
        """Register hooks on the modules that RoIs and logits pass through."""
        extractor, box_head, loss_cls = _modules(student)
        yield extractor.register_forward_pre_hook(
            lambda *call: self._on_extract(*call), with_kwargs=True
        )
        yield box_head.register_forward_hook(
            lambda *call: self._on_classify(*call)
        )
        yield loss_cls.register_forward_pre_hook(
            lambda *call: self._on_loss(*call), with_kwargs=True
        )
        for module in student.roi_head.modules():
            if hasattr(module, 'roi_layers'):
                yield module.register_forward_pre_hook(
                    convert_inputs, with_kwargs=True
                )

    def detach(self) -> None:
        """Remove the hooks, and free the last forward."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self.clear()

    def clear(self) -> None:
        """Drop the references to the last forward, to free its graph."""
        self._extracted: Extracted | None = None
        self._logits: Tensor | None = None
        self._classified_rois: Extracted | None = None
        self._loss_args: tuple[Tensor, Tensor, Tensor] | None = None

    def _on_extract(
        self, module: nn.Module, args: tuple, kwargs: dict
    ) -> None:
        if module.training:
            named = dict(zip(('feats', 'rois'), args), **kwargs)
            self._extracted = Extracted(named['rois'], len(named['feats'][0]))

    def _on_classify(
        self, module: nn.Module, args: tuple, output: tuple
    ) -> None:
        """Keep the logits, and the RoIs that were extracted last.

        Now, because a mask branch may share the extractor and overwrite them.
        """
        if not module.training:
            return
        logits, extracted = output[0], self._extracted
        if extracted is None or len(extracted.rois) != len(logits):
            raise MMKDRuntimeError(
                f'The box head classified {len(logits)} rows, but its RoI '
                'extractor last got '
                f'{"no" if extracted is None else len(extracted.rois)} RoIs: '
                'this RoI head does not classify each extracted RoI once, '
                'which RoIHeadTap needs.'
            )
        self._logits, self._classified_rois, self._loss_args = (
            logits,
            extracted,
            None,
        )
        if len(logits) == 0:
            # Without RoIs there is no `loss_cls`; the logits connect the terms
            # to the classifier, as DDP on the other ranks needs.
            labels = logits.new_zeros(0, dtype=torch.int64)
            weights = logits.new_zeros(0)
            self._loss_args = logits, labels, weights

    def _on_loss(self, module: nn.Module, args: tuple, kwargs: dict) -> None:
        if not module.training:
            return
        named = dict(zip(('cls_score', 'label', 'weight'), args), **kwargs)
        logits, extracted = named['cls_score'], self._classified_rois
        if logits is not self._logits and not logits.requires_grad:
            return  # weighs or samples RoIs, without training
        if extracted is None or len(extracted.rois) != len(logits):
            raise MMKDRuntimeError(
                f'The box head was trained on {len(logits)} rows, but it '
                'last classified '
                f'{"no" if extracted is None else len(extracted.rois)} RoIs: '
                'this RoI head does not train each classified RoI once, which '
                'RoIHeadTap needs.'
            )
        labels, weights = named['label'], named.get('weight')
        if weights is None:
            weights = logits.new_ones(len(logits))
        if self.background_weight != 1:
            is_background = labels == logits.shape[1] - 1
            weights = torch.where(
                is_background, self.background_weight * weights, weights
            )
        ignored = getattr(module, 'ignore_index', None)
        if ignored is not None:
            weights = weights.masked_fill(labels == ignored, 0)
        self._loss_args = logits, labels, weights

    def take(self, teacher) -> Reading | None:
        """Return the reading of the student's last forward, and clear it.

        Args:
            teacher (Teacher | None): Has seen the images of that forward.
                None: no teacher runs; its logits in the reading are then a
                placeholder.

        Returns:
            None if the student's box head did not run.

        Raises:
            RuntimeError: If the box head ran but its ``loss_cls`` did not.
        """
        loss_args, logits, extracted = (
            self._loss_args,
            self._logits,
            self._classified_rois,
        )
        self.clear()
        if loss_args is None and logits is not None:
            raise MMKDRuntimeError(
                f'The box head classified {len(logits)} RoIs, but they did '
                'not reach its `loss_cls`, on which RoIHeadTap has its hook: '
                'use a box head whose `loss` calls `self.loss_cls(logits, '
                'labels, weights)`.'
            )
        if loss_args is None or extracted is None:
            return None
        logits, labels, weights = loss_args
        teacher_logits = logits.detach()
        if teacher is not None and len(logits):
            teacher_logits = teacher.answer(
                partial(
                    roi_logits,
                    rois=extracted.rois.detach(),
                    images=extracted.images,
                ),
                per_class=True,
            )
        return Reading(logits, teacher_logits, labels, weights)


def roi_logits(
    model: nn.Module, features: tuple[Tensor, ...], rois: Tensor, images: int
) -> Tensor:
    """Logits of given RoIs, from the feature maps of their images.

    Args:
        model: A frozen teacher in eval mode.
        features: Its feature maps, each (B, channels, h, w).
        rois: See :class:`Extracted`, (N, 5).
        images: Number of images that the RoIs belong to.

    Returns:
        (N, C).

    Raises:
        RuntimeError: If the feature maps are of another number of images.
    """
    if len(features[0]) != images:
        raise MMKDRuntimeError(
            f'The teacher has maps of {len(features[0])} images, but the '
            f'RoIs of the student lie in {images}: RoIHeadTap needs models '
            'that see each image once.'
        )
    # Float32 even under autocast: half precision would round the RoIs.
    maps = [x.float() for x in to_roi_align(features)]
    # The only method of StandardRoIHead that classifies given boxes, shared
    # head included.
    return model.roi_head._bbox_forward(maps, rois)['cls_score']


def _modules(model: nn.Module) -> tuple[nn.Module, nn.Module, nn.Module]:
    """The modules that RoIs and logits of a detector pass through."""
    head = model.roi_head
    return head.bbox_roi_extractor, head.bbox_head, head.bbox_head.loss_cls


def _check_roi_head(role: str, model: nn.Module) -> None:
    """Refuse a model whose RoI head the tap cannot read."""
    name = type(model).__name__
    head = getattr(model, 'roi_head', None)
    box_head = getattr(head, 'bbox_head', None)
    if isinstance(box_head, nn.ModuleList):
        raise MMKDTypeError(
            f'The {role} {name} has a cascade of {len(box_head)} box heads '
            f'({type(head).__name__}), but RoIHeadTap reads one: use a '
            'detector with a StandardRoIHead, such as Faster or Mask R-CNN.'
        )
    if (
        box_head is None
        or not isinstance(getattr(box_head, 'loss_cls', None), nn.Module)
        or not hasattr(head, '_bbox_forward')
    ):
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
