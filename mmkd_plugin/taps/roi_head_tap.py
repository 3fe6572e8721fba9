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
from .sigmoid import uses_sigmoid

__all__ = ['RoIHeadTap']


class RoILogits(NamedTuple):
    """What a student's RoI head was trained with in one forward.

    Attributes:
        logits (Tensor): With their graph, (N, C).
        labels (Tensor): Class ids in [0, C), (N,).
        weights (Tensor): Weight of each RoI, >= 0, (N,).
        rois (Tensor): Image index and corners x1, y1, x2, y2 in pixels of
            the padded batch, (N, 5).
        images (int): Number of images, B.
    """

    logits: Tensor
    labels: Tensor
    weights: Tensor
    rois: Tensor
    images: int


class Extracted(NamedTuple):
    """The last RoIs of the box head's extractor.

    Attributes:
        rois (Tensor): As in :class:`RoILogits`, (N, 5).
        images (int): Number of images of the feature maps.
    """

    rois: Tensor
    images: int


@TASK_UTILS.register_module()
class RoIHeadTap:
    """Read the logits that an RoI head is trained with, and the teacher's.

    The student's RoI head samples its RoIs as always; the teacher's box head
    then runs on *those* RoIs, so that row i of both logits belongs to one
    box.  The teacher's RPN, assigner and sampler never run.

    Works with MMDetection's ``StandardRoIHead`` and its subclasses that
    classify every sampled RoI once, trained by softmax cross entropy (Faster
    and Mask R-CNN, Double-Head, PISA, Dynamic, Grid and Libra R-CNN).  Of
    several calls of ``loss_cls`` the last one counts whose logits are those
    that the box head has just given: samplers and PISA call it before.

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
        self._student: nn.Module | None = None
        self._heard: tuple = ()
        self.clear()

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
        self._student = student
        # Plain functions, because deepcopy copies a bound method's object,
        # and with it all that hangs on it, into every copy of the model.
        self._handles = [
            student.register_forward_pre_hook(
                lambda model, args: self._follow(model)
            )
        ]
        self._listen(student)

    def _listen(self, student: nn.Module) -> None:
        """Hook the modules that RoIs and logits pass through."""
        self._heard = _parts(student)
        extractor, box_head, loss_cls = self._heard
        self._handles += [
            extractor.register_forward_pre_hook(
                lambda *call: self._on_extract(*call), with_kwargs=True
            ),
            box_head.register_forward_hook(
                lambda *call: self._on_classified(*call)
            ),
            loss_cls.register_forward_pre_hook(
                lambda *call: self._on_loss(*call), with_kwargs=True
            ),
        ]
        self._handles += [
            module.register_forward_pre_hook(feed_readable, with_kwargs=True)
            for module in student.roi_head.modules()
            if hasattr(module, 'roi_layers')
        ]

    def _follow(self, student: nn.Module) -> None:
        """Listen to the modules that are there now.

        A hook of the user's may replace one of them in the middle of a run.
        """
        if student is not self._student or not student.training:
            return
        if all(a is b for a, b in zip(self._heard, _parts(student))):
            return
        self.check('student', student)
        for handle in self._handles[1:]:
            handle.remove()
        del self._handles[1:]
        self._listen(student)

    def detach(self) -> None:
        """Stop listening and forget what was heard."""
        for handle in self._handles:
            handle.remove()
        self._handles, self._heard, self._student = [], (), None
        self.clear()

    def clear(self) -> None:
        """Forget the last forward, so that its graph can be freed."""
        self._extracted: Extracted | None = None
        self._logits: Tensor | None = None
        self._of_logits: Extracted | None = None
        self._record: RoILogits | None = None

    def _on_extract(
        self, module: nn.Module, args: tuple, kwargs: dict
    ) -> None:
        if module.training:
            named = dict(zip(('feats', 'rois'), args), **kwargs)
            self._extracted = Extracted(named['rois'], len(named['feats'][0]))

    def _on_classified(
        self, module: nn.Module, args: tuple, output: tuple
    ) -> None:
        """Keep the logits of the RoIs that were extracted last.

        Taken now: a mask branch may share the extractor and overwrite them.
        """
        if not module.training:
            return
        logits, seen = output[0], self._extracted
        if seen is None or len(seen.rois) != len(logits):
            raise MMKDRuntimeError(
                f'The box head classified {len(logits)} rows, but its RoI '
                'extractor last saw '
                f'{"no" if seen is None else len(seen.rois)} RoIs: this RoI '
                'head does not classify each extracted RoI once, which '
                'RoIHeadTap needs.'
            )
        self._logits, self._of_logits, self._record = logits, seen, None
        if len(logits) == 0:
            # There is no `loss_cls` of no RoI; the logits tie the terms to
            # the classifier, as other processes need.
            labels = logits.new_zeros(0, dtype=torch.int64)
            weights = logits.new_zeros(0)
            self._record = RoILogits(logits, labels, weights, *seen)

    def _on_loss(self, module: nn.Module, args: tuple, kwargs: dict) -> None:
        if not module.training:
            return
        named = dict(zip(('cls_score', 'label', 'weight'), args), **kwargs)
        logits, seen = named['cls_score'], self._of_logits
        if logits is not self._logits and not logits.requires_grad:
            return  # weighs or chooses samples, and trains nothing
        if seen is None or len(seen.rois) != len(logits):
            raise MMKDRuntimeError(
                f'The box head was trained on {len(logits)} rows, but it '
                'last classified '
                f'{"no" if seen is None else len(seen.rois)} RoIs: this RoI '
                'head does not train each classified RoI once, which '
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
        self._record = RoILogits(logits, labels, weights, *seen)

    def take(self) -> RoILogits | None:
        """Hand out what the student's last forward left, once.

        Returns:
            RoILogits | None: None if the student's box head did not run.

        Raises:
            RuntimeError: If it ran, and its ``loss_cls`` did not.
        """
        record, logits = self._record, self._logits
        self.clear()
        if logits is not None and record is None:
            raise MMKDRuntimeError(
                f'The box head classified {len(logits)} RoIs, but they did '
                'not reach its `loss_cls`, at which RoIHeadTap listens: use '
                'a box head whose `loss` calls `self.loss_cls(logits, '
                'labels, weights)`.'
            )
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
        if len(features[0]) != record.images:
            raise MMKDRuntimeError(
                f'The teacher has maps of {len(features[0])} images, but the '
                f'RoIs of the student lie in {record.images}: RoIHeadTap '
                'needs models that see each image once.'
            )
        # Under autocast too, because half precision would round the RoIs.
        features = [x.float() for x in readable(features)]
        # The one call that makes a StandardRoIHead classify given boxes,
        # shared head included.
        return teacher.roi_head._bbox_forward(features, record.rois.detach())[
            'cls_score'
        ]


def _parts(model: nn.Module) -> tuple[nn.Module, nn.Module, nn.Module]:
    """What RoIs and logits of a detector pass through."""
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
    reason = _several(role, head, box_head)
    if reason:
        raise MMKDTypeError(
            f'The {type(head).__name__} of the {role} {name} {reason}, but '
            'RoIHeadTap needs one row of logits for each RoI of an image: '
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
    wanted = box_head.num_classes + 1
    if logits not in (None, wanted):
        raise MMKDTypeError(
            f'The box head of the {role} {name} gives {logits} logits for '
            f'{box_head.num_classes} classes, but RoIHeadTap expects '
            f'{wanted}, the background last: use a head that tells each '
            'class apart.'
        )


def _several(role: str, head: nn.Module, box_head: nn.Module) -> str:
    """Why the rows of a head are not its RoIs; empty if they are."""
    if not getattr(box_head, 'with_cls', True):
        return 'classifies nothing'
    if isinstance(getattr(box_head, 'fc_cls', None), nn.ModuleList):
        return 'predicts several objects a RoI'
    if getattr(head, 'num_branch', 1) > 1 and (
        role == 'student' or getattr(head, 'test_branch_idx', -1) == -1
    ):
        return f'sees each image {head.num_branch} times'
    return ''
