"""The logits of an image classifier.

N images, C classes.
"""

from collections.abc import Callable

import torch.nn as nn
from mmengine.registry import TASK_UTILS
from torch import Tensor

from ..exceptions import MMKDRuntimeError, MMKDTypeError
from .listener import Listener
from .reading import Reading
from .sigmoid import uses_sigmoid

# Heads that are not trained by one softmax over the classes per image.
REFUSED = dict(
    MultiLabelClsHead='predicts several labels per image',
    MultiTaskHead='has a head for each of several tasks',
    ArcFaceClsHead='adds a margin to the logit of the label',
    ConformerHead='classifies two tokens per image',
    DeiTClsHead='classifies two tokens per image',
    RegressionHead='predicts numbers, not classes',
)
# Models whose head, or whose output, is not that of a classifier.
OTHER_MODELS = {'BaseRetriever', 'BaseSelfSupervisor'}


@TASK_UTILS.register_module()
class ClsHeadTap:
    """Read the training logits of a classifier, and those of the teacher.

    The teacher sees the images of the student's forward, after Mixup and
    CutMix, so row i of both logits belongs to the same image.

    Works with MMPretrain's ``ImageClassifier`` and every head that is trained
    by one softmax over the classes.
    """

    kind = 'logits'
    # Columns of the logits are classes, which are matched by name.
    per_class = True
    # Number of background logits, after those of the classes.
    background = 0
    # The teacher's images may be of another size than the student's.
    any_size = True

    def __init__(self) -> None:
        self._listener: Listener | None = None
        self.clear()

    @property
    def question(self) -> Callable:
        """All that the teacher is asked, one row an image: can be cached."""
        return class_logits

    def fits(self, model: nn.Module) -> bool:
        """Whether a model has the kind of head that this tap reads."""
        return hasattr(model, 'head')

    def num_classes(self, model: nn.Module) -> int:
        """Number of classes of a classifier, C."""
        number = getattr(model.head, 'num_classes', None)
        if number is None:
            number = _last_linear(model.head).out_features
        return number

    def refuse(self, role: str, model: nn.Module) -> None:
        """Refuse a model whose head the tap cannot read.

        Args:
            role: What to call the model in the message.
            model: A student or teacher, not wrapped.

        Raises:
            TypeError: If it has no head with one logit per class, or one that
                is not trained by one softmax over the classes.
        """
        name = type(model).__name__
        head = getattr(model, 'head', None)
        kinds = {kind.__name__ for kind in type(head).__mro__}
        reason = next((REFUSED[kind] for kind in REFUSED if kind in kinds), '')
        # EfficientFormer and LeViT have two tokens if one of these is set.
        if getattr(head, 'dist', False) or getattr(
            head, 'distillation', False
        ):
            reason = REFUSED['DeiTClsHead']
        if reason:
            raise MMKDTypeError(
                f'The {type(head).__name__} of the {role} {name} {reason}, '
                'but distillation of classification logits needs one softmax '
                'over the classes per image: use a head such as LinearClsHead '
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

    def reads(self, teacher: nn.Module) -> str:
        """What is read of a teacher, for the log."""
        return 'its head'

    def attach(self, student: nn.Module, teacher: nn.Module) -> None:
        """Register hooks on a student that :meth:`refuse` accepts.

        Args:
            student: In training.
            teacher: Not used; all taps have the same signature.
        """
        self._listener = Listener(
            student,
            lambda model: (model.head, model.head.loss_module),
            self._hooks,
            lambda model: self.refuse('student', model),
        )

    def _hooks(self, student: nn.Module):
        """Register hooks on the modules that the logits pass through."""
        head = student.head
        yield head.register_forward_hook(lambda *call: self._on_head(*call))
        yield head.loss_module.register_forward_pre_hook(
            lambda *call: self._on_loss(*call), with_kwargs=True
        )

    def detach(self) -> None:
        """Remove the hooks, and free the last forward."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self.clear()

    def clear(self) -> None:
        """Drop the references to the last forward, to free its graph."""
        self._loss_args: tuple[Tensor, Tensor] | None = None
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
                'logits per image, (N, C): use a head such as LinearClsHead.'
            )
        self._loss_args = logits, labels

    def take(self, teacher) -> Reading | None:
        """Return the reading of the student's last forward, and clear it.

        Args:
            teacher (Teacher | None): Has seen the images of that forward.
                None: no teacher runs; its logits in the reading are then a
                placeholder.

        Returns:
            None if the student's head did not run.

        Raises:
            RuntimeError: If the head ran but its loss did not.
        """
        loss_args, classified = self._loss_args, self._classified
        self.clear()
        if loss_args is None and classified:
            raise MMKDRuntimeError(
                'The head classified images, but they did not reach its '
                '`loss_module`, on which ClsHeadTap has its hook: let the '
                '`loss` of the head call `self.loss_module(logits, labels)`.'
            )
        if loss_args is None:
            return None
        logits, labels = loss_args
        teacher_logits = logits.detach()
        if teacher is not None and len(logits):
            teacher_logits = teacher.logits(class_logits)
        return Reading(
            logits, teacher_logits, labels, logits.new_ones(len(logits))
        )


def class_logits(model: nn.Module, features: tuple) -> Tensor:
    """Logits of the images whose features are given.

    Args:
        model: A frozen teacher in eval mode.
        features: Result of its ``extract_feat``.

    Returns:
        (N, C).
    """
    return model.head(features)


def _first_two(args: tuple, kwargs: dict) -> tuple[Tensor, Tensor]:
    """Logits and labels of a call of a loss, by position or any keyword."""
    logits, labels = (*args, *kwargs.values())[:2]
    return logits, labels


def _last_linear(head: nn.Module) -> nn.Linear | None:
    """The last linear layer, for heads without `num_classes`."""
    layers = [m for m in head.modules() if isinstance(m, nn.Linear)]
    return layers[-1] if layers else None
