"""The teacher: built from a config, loaded strictly, frozen, matched."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn as nn
from torch import Tensor

from ..arguments import (
    check_choice,
    check_path,
    check_switch,
    check_text,
    few,
    shown,
)
from ..checkpoints.reading import load_strictly, read_checkpoint
from ..datasets.class_names import read_names
from ..exceptions import MMKDTypeError, MMKDValueError
from ..summary import describe_backbone, size_of
from .classes import classes_of_teacher, match_classes
from .config import build_model, load_config
from .identity import identity_of
from .image_size import extract_feat
from .inputs import (
    InputSize,
    TeacherInput,
    check_input_size,
    resize_images,
)
from .speed import TeacherSpeed


class Teacher:
    """A frozen model that computes on a student's batch.

    Args:
        config (str | Path | dict | Config): See :func:`load_config`.
        checkpoint: Path or URL, see
            :func:`~mmkd_plugin.checkpoints.reading.read_checkpoint`.
        prefix: Prefix of the names in the checkpoint, where a wrapper around
            the model saved it.
        part: Name of the module whose weights the checkpoint holds, such as
            'backbone', where it does not hold those of the model.
        trust_checkpoint: Whether code in the checkpoint may run.
        precision, channels_last, fuse_bn, compile: See
            :class:`~mmkd_plugin.teachers.speed.TeacherSpeed`.
        classes: The teacher's class names in order, where neither checkpoint
            nor config has them.
        input_size: Height and width to which the student's images are
            resized for the teacher, or a factor of theirs; None: their own.
        missing_classes: What to do if the teacher lacks classes of the
            student: 'refuse' it, or 'leave_out' these classes of what is
            compared, see
            :func:`~mmkd_plugin.distill.known_classes.leave_out`.
        cache: Folder where its logits are kept, see
            :class:`.CachedTeacher`; None: they are computed in every step.

    Attributes:
        model (nn.Module | None): The teacher, in eval mode; no parameter
            requires a gradient.  None after :meth:`release`.
        identity (dict): What tells it from other teachers, for a cache.
        classes: Its class names, if known.
        columns (Tensor | None): For each class of the student and the
            background, the teacher's, any for one that it lacks; None: the
            same.
        missing (Tensor | None): Which of these classes it lacks; None: none.
        missing_names: Their names.
        known (Tensor | None): Columns of the student that it does not lack,
            where it lacks some.
        image_size: Height and width, with padding, of the images that it saw
            last.

    Raises:
        FileNotFoundError: If a file is missing.
        TypeError, ValueError: If an argument or a file is invalid.
    """

    def __init__(
        self,
        config,
        checkpoint: str,
        prefix: str = '',
        part: str = '',
        trust_checkpoint: bool = False,
        precision: str = 'same',
        channels_last: bool | None = None,
        fuse_bn: bool = True,
        compile: bool = False,
        classes: Sequence[str] | None = None,
        input_size: InputSize = None,
        missing_classes: str = 'refuse',
        cache: str | None = None,
    ) -> None:
        check_choice(
            'teacher.missing_classes', missing_classes, 'refuse', 'leave_out'
        )
        check_path('teacher.checkpoint', checkpoint, 'a path or URL')
        check_text('teacher.prefix', prefix)
        check_text('teacher.part', part)
        check_input_size(input_size)
        if cache is not None:
            check_path('teacher.cache', cache, 'the path of a folder')
        check_switch(**{'teacher.trust_checkpoint': trust_checkpoint})
        names = read_names(classes, '`classes` in `teacher`')
        self.speed = TeacherSpeed(precision, channels_last, fuse_bn, compile)
        cfg = load_config(config)
        state, meta = read_checkpoint(checkpoint, prefix, trust_checkpoint)
        model = build_model(cfg)
        if part:
            state = {f'{part}.{name}': x for name, x in state.items()}
        load_strictly(model, state, checkpoint)
        self.model: Any = model.requires_grad_(False).eval()
        self.cache = cache
        # Before `prepare`, which folds weights into others.
        self.identity = {} if cache is None else identity_of(model, cfg)
        self.source = str(checkpoint)
        self.input_size = input_size
        self.classes = names or classes_of_teacher(meta, cfg)
        self.missing_classes = missing_classes
        self._forget_classes()

    def _forget_classes(self) -> None:
        """Take the student's classes for the same."""
        self.columns: Tensor | None = None
        self.missing: Tensor | None = None
        self.known: Tensor | None = None
        self.missing_names: tuple[str, ...] = ()

    def prepare(self, student: nn.Module, *, intact: bool = False) -> None:
        """Prepare the teacher for a student: device, precision, input.

        Args:
            student: The model in training.
            intact: Whether the outputs of single modules are read, which
                folding and compiling change.

        Raises:
            ValueError: If the device does not support the teacher's
                precision, or it is to be compiled but must stay intact.
        """
        if intact:
            self.speed.keep_intact()
        self.to_input = TeacherInput(
            student.data_preprocessor,
            self.model.data_preprocessor,
            self.input_size,
        )
        self.speed.apply(self.model, student)
        self._device = next(student.parameters()).device
        self._forget_classes()

    def match(
        self,
        classes: Sequence[str] | None,
        num_student: int,
        num_teacher: int,
        background: int,
        *,
        least: int = 1,
    ) -> None:
        """Put the teacher's logits into the order of the student's classes.

        Args:
            classes: The student's class names.
            num_student, num_teacher, background, least: See
                :func:`~mmkd_plugin.teachers.classes.match_classes`.

        Raises:
            ValueError: If the classes cannot be matched.
        """
        columns = match_classes(
            classes,
            self.classes,
            num_student,
            num_teacher,
            background,
            leave_out=self.missing_classes == 'leave_out',
            least=least,
        )
        self._forget_classes()
        if columns is not None:
            found = torch.tensor(columns, device=self._device)
            self.columns = found.clamp(min=0)
            self.missing_names = tuple(
                name
                for name, column in zip(classes or (), columns)
                if column < 0
            )
            if self.missing_names:
                self.missing = found < 0
                # Once: finding them synchronizes a GPU.
                self.known = (~self.missing).nonzero()[:, 0]

    def match_names(self, classes: Sequence[str] | None) -> None:
        """Match what it predicts, where no term compares classes.

        Args:
            classes: The student's class names; where those of one side are
                not known, the classes count as the same.

        Raises:
            ValueError: If the teacher lacks one.
        """
        if classes is not None and self.classes is not None:
            self.match(classes, len(classes), len(self.classes), 0)

    @torch.no_grad()
    def see(self, inputs: Tensor, data_samples=None) -> None:
        """Compute the features of a student's images, for :meth:`answer`.

        Args:
            inputs: The student's images, normalised and padded,
                (B, 3, H, W).
            data_samples (list, optional): One per image; see
                :class:`~mmkd_plugin.teachers.inputs.TeacherInput`.

        Raises:
            ValueError: If it only takes images of another size.
        """
        inputs = self.to_input(inputs, data_samples)
        self.image_size = tuple(inputs.shape[-2:])
        with self.speed.autocast(inputs.device.type):
            self._features = extract_feat(self.model, inputs)
        self._device = inputs.device
        self._answers: dict[Any, Any] = {}

    @torch.no_grad()
    def answer(self, ask: Callable) -> Any:
        """Compute an output of the teacher on the images that it has seen.

        Args:
            ask: Called with the model and the result of its
                ``extract_feat``, in eval mode, without gradient, in the
                teacher's precision.  Equal questions are asked once per
                :meth:`see`.

        Returns:
            The result of ``ask``.
        """
        if ask not in self._answers:
            self._answers[ask] = self._run(ask, self._features)
        return self._answers[ask]

    def logits(self, ask: Callable, pick: Callable | None = None) -> Tensor:
        """Class logits of the images, in the order of the student's classes.

        Args:
            ask: See :meth:`answer`.
            pick: Takes the logits out of its result; None: it is them.

        Returns:
            (N, C).
        """
        logits = self.answer(ask)
        return self.reorder(pick(logits) if pick else logits)

    def cross(self, ask: Callable, features: Sequence[Tensor]) -> Any:
        """Run a head of the teacher on the student's maps, with gradient.

        Args:
            ask: See :meth:`answer`.
            features: The student's feature maps, in place of the teacher's.

        Returns:
            The result of ``ask``.
        """
        key = 'cross', ask
        if key not in self._answers:
            self._answers[key] = self._run(ask, features)
        return self._answers[key]

    def _run(self, ask: Callable, features: Sequence[Tensor]) -> Any:
        with self.speed.autocast(self._device.type):
            return ask(self.model, features)

    def reorder(self, logits: Tensor) -> Tensor:
        """Put the columns of logits into the order of the student's classes.

        Args:
            logits: As the teacher gives them.

        Returns:
            (N, C); -inf for classes that the teacher lacks.
        """
        if self.columns is None:
            return logits
        logits = logits.index_select(1, self.columns)
        if self.missing is None:
            return logits
        return logits.masked_fill(self.missing, -torch.inf)

    def forget(self) -> None:
        """Free the features and results of the images."""
        self._features, self._answers = None, {}

    def release(self) -> None:
        """Free the model; only :meth:`reorder` works after that."""
        self.forget()
        self.model = None

    def predict(self, data: dict) -> list:
        """Predict for images of a data loader, resized as in training.

        Args:
            data: A batch of it.

        Returns:
            Result of ``model.val_step``.
        """
        if self.input_size is None:
            return self.model.val_step(data)
        data = self.model.data_preprocessor(data, False)
        data['inputs'] = resize_images(data['inputs'], self.input_size)
        return self.model(**data, mode='predict')

    def relabel(self, outputs: list) -> list:
        """Map predicted classes to the student's, and drop the others.

        Args:
            outputs: Result of ``model.val_step``; changed in place.

        Returns:
            ``outputs``.

        Raises:
            ValueError: If the teacher lacks classes of the student.
        """
        self.refuse_evaluation()
        if self.columns is None:
            return outputs
        for output in outputs:
            if 'pred_instances' in output:
                instances = output.pred_instances
                match = instances.labels[:, None] == self.columns
                instances = instances[match.any(1)]
                instances.labels = match[match.any(1)].int().argmax(1)
                output.pred_instances = instances
            elif 'pred_score' in output:
                score = output.pred_score[self.columns]
                output.pred_score = score
                output.pred_label = score.argmax(0, keepdim=True)
        return outputs

    def refuse_evaluation(self) -> None:
        """Refuse to measure a teacher that lacks classes of the student.

        Raises:
            ValueError: If it does.
        """
        if self.missing_names:
            raise MMKDValueError(
                f'The teacher {self.source} does not know '
                f'{len(self.missing_names)} of the classes of the student '
                f'({few(self.missing_names)}), all of whose objects or images '
                'would count as its errors: set `evaluate_teacher=False`, '
                'without `min_metric`, and do not compare its predictions.'
            )

    def __str__(self) -> str:
        notes = [
            describe_backbone(self.model),
            size_of(self.model),
            self.source,
        ]
        if not self.to_input.identity:
            notes.append('images converted to its own preprocessing')
        if self.input_size is not None:
            notes.append(f'and resized, input_size={self.input_size}')
        if self.columns is not None:
            notes.append('classes matched by name')
        if self.missing_names:
            notes.append(
                f'{len(self.missing_names)} classes that it does not know '
                f'left out: {few(self.missing_names)}'
            )
        if self.speed.folded:
            notes.append('batch normalisation folded')
        about = ', '.join(filter(None, notes))
        return f'{type(self.model).__name__} ({about})'


def read_teachers(teacher: object) -> list[dict]:
    """Read the argument ``teacher`` of a hook.

    Args:
        teacher: Arguments of a :class:`Teacher`, or a list of them.

    Returns:
        The arguments of each teacher.

    Raises:
        TypeError: If one is no dict, lacks a key or has an unknown one.
    """
    cfgs: list = (
        list(teacher) if isinstance(teacher, (list, tuple)) else [teacher]
    )
    known = inspect.signature(Teacher).parameters
    for cfg in cfgs or [[]]:
        if not isinstance(cfg, dict) or not {'config', 'checkpoint'} <= {*cfg}:
            raise MMKDTypeError(
                'Expected argument `teacher` to be a dict with `config` '
                'and `checkpoint`, or a list of them, but got '
                f'{shown(cfg)}.'
            )
        unknown = [key for key in cfg if key not in known]
        if unknown:
            raise MMKDTypeError(
                f'Unknown key {unknown[0]!r} in argument `teacher`: '
                f'expected {", ".join(known)}.'
            )
    return cfgs
