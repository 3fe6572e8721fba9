"""The logits of an image classifier.

N images, C classes.
"""

from typing import NamedTuple

import torch
import torch.nn as nn
from mmengine.registry import TASK_UTILS
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from ..exceptions import MMKDRuntimeError, MMKDTypeError
from .sigmoid import uses_sigmoid

__all__ = ['ClsHeadTap']


# Heads whose training logits are not one softmax over the classes an image.
REFUSED = dict(
    MultiLabelClsHead='tells several labels an image',
    MultiTaskHead='has a head for each of several tasks',
    ArcFaceClsHead='adds a margin to the logit of the label',
    ConformerHead='classifies two tokens an image',
    DeiTClsHead='classifies two tokens an image',
    RegressionHead='predicts numbers, not classes',
)
# Models whose head, or whose output, is not that of a classifier.
OTHER_MODELS = {'BaseRetriever', 'BaseSelfSupervisor'}


class ClsLogits(NamedTuple):
    """What a student's head was trained with in one forward.

    Attributes:
        logits (Tensor): With their graph, (N, C).
        labels (Tensor): Class ids in [0, C), (N,); or, where Mixup or CutMix
            have mixed the images, shares of the classes in [0, 1], (N, C).
        weights (Tensor): Ones, (N,).
    """

    logits: Tensor
    labels: Tensor
    weights: Tensor


@TASK_UTILS.register_module()
class ClsHeadTap:
    """Read the logits that a classifier is trained with, and the teacher's.

    The teacher sees the images of the student's forward, after Mixup and
    CutMix, so that row i of both logits belongs to one image.

    Works with MMPretrain's ``ImageClassifier`` and every head that is trained
    by one softmax over the classes.
    """

    # Logits after those of the classes.
    background = 0

    def __init__(self) -> None:
        self._handles: list[RemovableHandle] = []
        self._student: nn.Module | None = None
        self._heard: tuple = ()
        self._classified = False
        self._record: ClsLogits | None = None

    def num_classes(self, model: nn.Module) -> int:
        """Number of classes that a classifier tells apart, C."""
        number = getattr(model.head, 'num_classes', None)
        if number is None:
            number = _last_linear(model.head).out_features
        return number

    def check(self, role: str, model: nn.Module) -> None:
        """Refuse a model whose head the tap cannot read.

        Args:
            role (str): What to call the model in the message.
            model (nn.Module): A student or teacher, not wrapped.

        Raises:
            TypeError: If it has no head that gives one logit a class, or
                the head is not trained by one softmax over them.
        """
        name = type(model).__name__
        head = getattr(model, 'head', None)
        kinds = {kind.__name__ for kind in type(head).__mro__}
        reason = next((REFUSED[kind] for kind in REFUSED if kind in kinds), '')
        # EfficientFormer and LeViT say by these that they have two tokens.
        if getattr(head, 'dist', False) or getattr(
            head, 'distillation', False
        ):
            reason = REFUSED['DeiTClsHead']
        if reason:
            raise MMKDTypeError(
                f'The {type(head).__name__} of the {role} {name} {reason}, '
                'but distillation of classification logits needs one softmax '
                'over the classes an image: use a head such as LinearClsHead '
                'or VisionTransformerClsHead.'
            )
        models = {kind.__name__ for kind in type(model).__mro__}
        if (
            OTHER_MODELS & models
            or not isinstance(getattr(head, 'loss_module', None), nn.Module)
            or (
                not hasattr(head, 'num_classes') and _last_linear(head) is None
            )
        ):
            raise MMKDTypeError(
                f'The {role} {name} has no `head` that classifies images, '
                'but ClsHeadTap reads one: use an ImageClassifier with a '
                'head such as LinearClsHead.'
            )
        if uses_sigmoid(head.loss_module):
            raise MMKDTypeError(
                f'The {type(head).__name__} of the {role} {name} is trained '
                f'by {type(head.loss_module).__name__} with sigmoid, but '
                'distillation of classification logits needs one softmax '
                'over the classes: use CrossEntropyLoss or LabelSmoothLoss '
                'without `use_sigmoid`.'
            )

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
        """Hook the modules that the logits pass through."""
        head = student.head
        self._heard = (head, head.loss_module)
        self._handles += [
            head.register_forward_hook(lambda *call: self._on_head(*call)),
            head.loss_module.register_forward_pre_hook(
                lambda *call: self._on_loss(*call), with_kwargs=True
            ),
        ]

    def _follow(self, student: nn.Module) -> None:
        """Listen to the head's loss that is there now.

        MMPretrain's ``SwitchRecipeHook`` replaces it between two epochs.
        """
        if student is not self._student or not student.training:
            return
        head = student.head
        if self._heard[0] is head and self._heard[1] is head.loss_module:
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
        self._record = None
        self._classified = False

    def _on_head(self, module: nn.Module, args: tuple, output) -> None:
        if module.training:
            self._classified = True

    def _on_loss(self, module: nn.Module, args: tuple, kwargs: dict) -> None:
        if not module.training:
            return
        logits, labels = _first_two(args, kwargs)
        if logits.ndim != 2 or len(labels) != len(logits):
            raise MMKDRuntimeError(
                'The head was trained on logits of shape '
                f'{tuple(logits.shape)} with labels of shape '
                f'{tuple(labels.shape)}, but ClsHeadTap reads one row of '
                'logits an image, (N, C): use a head such as LinearClsHead.'
            )
        self._record = ClsLogits(logits, labels, logits.new_ones(len(logits)))

    def take(self) -> ClsLogits | None:
        """Hand out what the student's last forward left, once.

        Returns:
            ClsLogits | None: None if the student's head did not run.

        Raises:
            RuntimeError: If it ran, and its loss did not.
        """
        record, classified = self._record, self._classified
        self.clear()
        if classified and record is None:
            raise MMKDRuntimeError(
                'The head classified images, but they did not reach its '
                '`loss_module`, at which ClsHeadTap listens: let the `loss` '
                'of the head call `self.loss_module(logits, labels)`.'
            )
        return record

    @torch.no_grad()
    def teacher_features(self, teacher: nn.Module, inputs: Tensor) -> Tensor:
        """Run the teacher on the images of the student.

        Args:
            teacher (nn.Module): The frozen teacher, in eval mode.
            inputs (Tensor): The images of the student's forward,
                (N, 3, H, W), normalised as the teacher expects.

        Returns:
            Tensor: The teacher's logits, (N, C).
        """
        return teacher(inputs, mode='tensor')

    def teacher_logits(
        self, teacher: nn.Module, features: Tensor, record: ClsLogits
    ) -> Tensor:
        """The logits themselves, which need nothing of the student's."""
        return features


def _first_two(args: tuple, kwargs: dict) -> tuple[Tensor, Tensor]:
    """Logits and labels of a call of a loss, by place or by any name."""
    logits, labels = (*args, *kwargs.values())[:2]
    return logits, labels


def _last_linear(head: nn.Module) -> nn.Linear | None:
    """The layer that gives the logits, where a head does not count them."""
    layers = [m for m in head.modules() if isinstance(m, nn.Linear)]
    return layers[-1] if layers else None
