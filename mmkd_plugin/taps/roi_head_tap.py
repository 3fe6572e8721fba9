"""The classification logits of a two-stage detector's RoI head.

B images, N RoIs sampled over the batch, K classes, C = K + 1 logits with the
background last.
"""

import torch
import torch.nn as nn
from mmengine.registry import TASK_UTILS
from torch import Tensor

from .logit_pair import LogitPair


@TASK_UTILS.register_module()
class RoIHeadTap:
    """Read the logits that an RoI head is trained with, and the teacher's.

    The student's RoI head samples its RoIs as always; the teacher's box head
    then runs on *those* RoIs, so that row i of both logits belongs to one
    box.  The teacher's RPN, assigner and sampler never run.

    Works with MMDetection's ``StandardRoIHead`` and its subclasses with one
    box head trained by softmax cross entropy (Faster R-CNN, Mask R-CNN).
    """

    def __init__(self) -> None:
        self._handles: list = []
        self._rois: Tensor | None = None
        self._record: tuple | None = None

    def attach(self, student: nn.Module, teacher: nn.Module) -> None:
        """Start to listen to the student.

        Args:
            student (nn.Module): The detector in training, not wrapped.
            teacher (nn.Module): The detector that teaches it.

        Raises:
            TypeError: If one of the two has no RoI head of a known kind.
            ValueError: If the two heads tell different numbers of classes
                apart.
        """
        for role, model in (('student', student), ('teacher', teacher)):
            _check_roi_head(role, model)
        classes = [
            model.roi_head.bbox_head.num_classes
            for model in (student, teacher)
        ]
        if classes[0] != classes[1]:
            raise ValueError(
                f'The student tells {classes[0]} classes apart and the '
                f'teacher {classes[1]}: give a teacher that was trained on '
                "the student's classes."
            )
        # Plain functions, because deepcopy copies a bound method's object,
        # and with it all that hangs on it, into every copy of the model.
        self._handles = [
            student.roi_head.bbox_roi_extractor.register_forward_pre_hook(
                lambda *call: self._on_extract(*call), with_kwargs=True
            ),
            student.roi_head.bbox_head.loss_cls.register_forward_pre_hook(
                lambda *call: self._on_loss(*call), with_kwargs=True
            ),
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

    def _on_loss(self, module: nn.Module, args: tuple, kwargs: dict) -> None:
        if not module.training:
            return
        named = dict(zip(('cls_score', 'label', 'weight'), args), **kwargs)
        logits, rois = named['cls_score'], self._rois
        if rois is None or len(rois) != len(logits):
            raise RuntimeError(
                f'The box head was trained on {len(logits)} rows, but its '
                'RoI extractor last saw '
                f'{"no" if rois is None else len(rois)} RoIs: this RoI head '
                'does not classify each extracted RoI once, which '
                'RoIHeadTap needs.'
            )
        weights = named.get('weight')
        if weights is None:
            weights = logits.new_ones(len(logits))
        # Taken now: a mask branch may share the extractor and overwrite it.
        self._record = (logits, named['label'], weights, rois)

    def read(self, teacher: nn.Module, inputs: Tensor) -> LogitPair | None:
        """Run the teacher on the RoIs of the student's last forward.

        What was recorded is handed out once.

        Args:
            teacher (nn.Module): The frozen teacher, in eval mode.
            inputs (Tensor): The images of that forward, (B, 3, H, W),
                normalised as the teacher expects.

        Returns:
            LogitPair | None: None if the student classified no RoI.
        """
        record = self._record
        self.clear()
        if record is None:
            return None
        logits, labels, weights, rois = record
        with torch.no_grad():
            features = teacher.extract_feat(inputs)
            # The one call that makes a StandardRoIHead classify given boxes,
            # shared head included.
            teacher_logits = teacher.roi_head._bbox_forward(
                features, rois.detach()
            )['cls_score']
        return LogitPair(logits, teacher_logits, labels, weights)


def _check_roi_head(role: str, model: nn.Module) -> None:
    """Refuse a model whose RoI head the tap cannot read."""
    name = type(model).__name__
    head = getattr(model, 'roi_head', None)
    box_head = getattr(head, 'bbox_head', None)
    if isinstance(box_head, nn.ModuleList):
        raise TypeError(
            f'The {role} {name} has a cascade of {len(box_head)} box heads '
            f'({type(head).__name__}), but RoIHeadTap reads one: use a '
            'detector with a StandardRoIHead, such as Faster or Mask R-CNN.'
        )
    if (
        box_head is None
        or not hasattr(box_head, 'loss_cls')
        or not hasattr(head, '_bbox_forward')
    ):
        raise TypeError(
            f'The {role} {name} has no RoI head with a box head, but '
            'RoIHeadTap reads one: use a detector with a StandardRoIHead, '
            'such as Faster or Mask R-CNN.'
        )
    loss_cls = box_head.loss_cls
    if getattr(loss_cls, 'use_sigmoid', False) or getattr(
        box_head, 'custom_activation', False
    ):
        raise TypeError(
            f'The box head of the {role} {name} is trained by '
            f'{type(loss_cls).__name__} with sigmoid or custom activation, '
            'but distillation of classification logits needs a softmax over '
            'the classes and background: set `use_sigmoid=False`.'
        )
