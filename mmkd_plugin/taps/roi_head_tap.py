"""The classification logits of a two-stage detector's RoI head.

B images, N RoIs sampled over the batch, K classes, C = K + 1 logits with the
background last.
"""

from typing import NamedTuple

import torch
import torch.nn as nn
from mmengine.registry import TASK_UTILS
from torch import Tensor

from ..arguments import check_weight
from ..exceptions import MMKDRuntimeError, MMKDTypeError
from .roi_align import feed_readable, readable


class RoILogits(NamedTuple):
    """What a student's RoI head was trained with in one forward.

    Attributes:
        logits (Tensor): With their graph, (N, C).
        labels (Tensor): Class ids in [0, C), (N,).
        weights (Tensor): Weight of each RoI, >= 0, (N,).
        rois (Tensor): Image index and corners x1, y1, x2, y2 in pixels of
            the padded batch, (N, 5).
    """

    logits: Tensor
    labels: Tensor
    weights: Tensor
    rois: Tensor


@TASK_UTILS.register_module()
class RoIHeadTap:
    """Read the logits that an RoI head is trained with, and the teacher's.

    The student's RoI head samples its RoIs as always; the teacher's box head
    then runs on *those* RoIs, so that row i of both logits belongs to one
    box.  The teacher's RPN, assigner and sampler never run.

    Works with MMDetection's ``StandardRoIHead`` and its subclasses with one
    box head trained by softmax cross entropy (Faster R-CNN, Mask R-CNN).

    Args:
        background_weight (float): Factor of the weights of background RoIs
            in the distillation terms, >= 0. 0 distils foreground RoIs alone:
            the others are then no negatives of CKD either, and do not count
            in ``kd_agreement`` and ``kd_teacher_acc``.

    Raises:
        ValueError: If it is no number, negative or huge.
    """

    # Logits after those of the classes.
    background = 1
    background_weight: float

    def __init__(self, background_weight: float = 1.0) -> None:
        check_weight(background_weight=background_weight)
        self.background_weight = background_weight
        self._handles: list = []
        self._rois: Tensor | None = None
        self._record: RoILogits | None = None

    def num_classes(self, model: nn.Module) -> int:
        """Number of classes that a detector tells apart, K."""
        return model.roi_head.bbox_head.num_classes

    def check(self, role: str, model: nn.Module) -> None:
        """Refuse a model whose RoI head the tap cannot read.

        Args:
            role (str): What to call the model in the message.
            model (nn.Module): A student or teacher, not wrapped.

        Raises:
            TypeError: If it has no RoI head of a known kind.
        """
        _check_roi_head(role, model)

    def attach(self, student: nn.Module) -> None:
        """Start to listen to a student that :meth:`check` accepts."""
        # Plain functions, because deepcopy copies a bound method's object,
        # and with it all that hangs on it, into every copy of the model.
        self._handles = [
            student.roi_head.bbox_roi_extractor.register_forward_pre_hook(
                lambda *call: self._on_extract(*call), with_kwargs=True
            ),
            student.roi_head.bbox_head.loss_cls.register_forward_pre_hook(
                lambda *call: self._on_loss(*call), with_kwargs=True
            ),
            student.roi_head.bbox_head.register_forward_hook(
                lambda *call: self._on_classified(*call)
            ),
        ]
        self._handles += [
            module.register_forward_pre_hook(feed_readable, with_kwargs=True)
            for module in student.roi_head.modules()
            if hasattr(module, 'roi_layers')
        ]

    def detach(self) -> None:
        """Stop listening and forget what was heard."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self.clear()

    def clear(self) -> None:
        """Forget the last forward, so that its graph can be freed."""
        self._rois = self._record = None

    def _on_extract(
        self, module: nn.Module, args: tuple, kwargs: dict
    ) -> None:
        if module.training:
            self._rois = args[1] if len(args) > 1 else kwargs['rois']

    def _on_classified(
        self, module: nn.Module, args: tuple, output: tuple
    ) -> None:
        """Keep the logits of no RoI, for which there is no ``loss_cls``.

        They tie the terms to the classifier, as other processes need.
        """
        logits = output[0]
        if module.training and len(logits) == 0:
            labels = logits.new_zeros(0, dtype=torch.int64)
            rois = logits.new_zeros(0, 5)
            self._record = RoILogits(logits, labels, rois[:, 0], rois)

    def _on_loss(self, module: nn.Module, args: tuple, kwargs: dict) -> None:
        if not module.training:
            return
        named = dict(zip(('cls_score', 'label', 'weight'), args), **kwargs)
        logits, rois = named['cls_score'], self._rois
        if rois is None or len(rois) != len(logits):
            raise MMKDRuntimeError(
                f'The box head was trained on {len(logits)} rows, but its '
                'RoI extractor last saw '
                f'{"no" if rois is None else len(rois)} RoIs: this RoI head '
                'does not classify each extracted RoI once, which '
                'RoIHeadTap needs.'
            )
        weights = named.get('weight')
        if weights is None:
            weights = logits.new_ones(len(logits))
        labels = named['label']
        if self.background_weight != 1:
            is_background = labels == logits.shape[1] - 1
            weights = torch.where(
                is_background, self.background_weight * weights, weights
            )
        # Taken now: a mask branch may share the extractor and overwrite it.
        self._record = RoILogits(logits, labels, weights, rois)

    def take(self) -> RoILogits | None:
        """Hand out what the student's last forward left, once.

        Returns:
            RoILogits | None: None if the student's box head did not run.
        """
        record = self._record
        self.clear()
        return record

    @torch.no_grad()
    def teacher_features(
        self, teacher: nn.Module, inputs: Tensor
    ) -> list[Tensor]:
        """Run the teacher up to its neck.

        Args:
            teacher (nn.Module): The frozen teacher, in eval mode.
            inputs (Tensor): The images of the student's forward,
                (B, 3, H, W), normalised as the teacher expects.

        Returns:
            list[Tensor]: The maps of its pyramid, (B, channels, h, w) each.
        """
        return list(teacher.extract_feat(inputs))

    @torch.no_grad()
    def teacher_logits(
        self, teacher: nn.Module, features: list[Tensor], record: RoILogits
    ) -> Tensor:
        """Run the teacher's box head on the RoIs of the student.

        Args:
            teacher (nn.Module): The frozen teacher, in eval mode.
            features (list[Tensor]): What :meth:`teacher_features` gave.
            record (RoILogits): What :meth:`take` gave.

        Returns:
            Tensor: The teacher's logits, (N, C).
        """
        # Under autocast too, because half precision would round the RoIs.
        features = [x.float() for x in readable(features)]
        # The one call that makes a StandardRoIHead classify given boxes,
        # shared head included.
        return teacher.roi_head._bbox_forward(features, record.rois.detach())[
            'cls_score'
        ]


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
        or not hasattr(box_head, 'loss_cls')
        or not hasattr(head, '_bbox_forward')
    ):
        raise MMKDTypeError(
            f'The {role} {name} has no RoI head with a box head, but '
            'RoIHeadTap reads one: use a detector with a StandardRoIHead, '
            'such as Faster or Mask R-CNN.'
        )
    loss_cls = box_head.loss_cls
    if getattr(loss_cls, 'use_sigmoid', False) or getattr(
        box_head, 'custom_activation', False
    ):
        raise MMKDTypeError(
            f'The box head of the {role} {name} is trained by '
            f'{type(loss_cls).__name__} with sigmoid or custom activation, '
            'but distillation of classification logits needs a softmax over '
            'the classes and background: set `use_sigmoid=False`.'
        )
    logits = getattr(getattr(box_head, 'fc_cls', None), 'out_features', None)
    wanted = box_head.num_classes + 1
    if logits not in (None, wanted):
        raise MMKDTypeError(
            f'The box head of the {role} {name} gives {logits} logits for '
            f'{box_head.num_classes} classes, but RoIHeadTap expects '
            f'{wanted}, the background last: use a head that tells each '
            'class apart.'
        )
