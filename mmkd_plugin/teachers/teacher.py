"""The teacher: built from a config, loaded strictly, frozen, matched."""

from collections.abc import Sequence

import torch
import torch.nn as nn
from torch import Tensor

from ..arguments import check_path, check_switch, check_text
from ..checkpoints.reading import load_strictly, read_checkpoint
from ..datasets.class_names import read_names
from .classes import classes_of_teacher, match_classes
from .config import build_model, load_config
from .inputs import TeacherInput
from .speed import TeacherSpeed


class Teacher:
    """A frozen model, and how a student's batch is shown to it.

    Args:
        config (str | Path | dict | Config): See :func:`load_config`.
        checkpoint (str): Path or URL, see
            :func:`~mmkd_plugin.checkpoints.reading.read_checkpoint`.
        prefix (str): What the names in the checkpoint begin with where it
            was saved by a wrapper around the model.
        trust_checkpoint (bool): Whether to run code in the checkpoint.
        precision, channels_last, fuse_bn, compile: See
            :class:`~mmkd_plugin.teachers.speed.TeacherSpeed`.
        classes (Sequence[str], optional): The teacher's class names in
            order, where neither checkpoint nor config tells them.

    Attributes:
        model (nn.Module): The teacher, in eval mode; no parameter requires
            a gradient.
        classes (tuple[str] | None): Its class names, if known.

    Raises:
        FileNotFoundError: If a file is not there.
        TypeError, ValueError: If an argument or a file is not as expected.
    """

    def __init__(
        self,
        config,
        checkpoint: str,
        prefix: str = '',
        trust_checkpoint: bool = False,
        precision: str = 'same',
        channels_last: bool | None = None,
        fuse_bn: bool = True,
        compile: bool = False,
        classes: Sequence[str] | None = None,
    ) -> None:
        check_path('teacher.checkpoint', checkpoint, 'a path or URL')
        check_text('teacher.prefix', prefix)
        check_switch(**{'teacher.trust_checkpoint': trust_checkpoint})
        names = read_names(classes, '`classes` in `teacher`')
        self.speed = TeacherSpeed(precision, channels_last, fuse_bn, compile)
        cfg = load_config(config)
        state, meta = read_checkpoint(checkpoint, prefix, trust_checkpoint)
        model = build_model(cfg)
        load_strictly(model, state, checkpoint)
        self.model = model.requires_grad_(False).eval()
        self.source = str(checkpoint)
        self.classes = names or classes_of_teacher(meta, cfg)

    def prepare(
        self,
        student: nn.Module,
        tap,
        classes: Sequence[str] | None = None,
    ) -> None:
        """Fit the teacher to a student.

        Args:
            student (nn.Module): The model in training.
            tap: The tap that reads the logits of both.
            classes (Sequence[str], optional): The student's class names.

        Raises:
            TypeError, ValueError: If the two cannot be compared, or the
                device cannot compute in the teacher's precision.
        """
        self._to_input = TeacherInput(
            student.data_preprocessor, self.model.data_preprocessor
        )
        self.speed.apply(self.model, student)
        columns = match_classes(
            classes,
            self.classes,
            tap.num_classes(student),
            tap.num_classes(self.model),
            tap.background,
        )
        device = next(student.parameters()).device
        self._columns = columns and torch.tensor(columns, device=device)

    @torch.no_grad()
    def features(self, tap, inputs: Tensor, data_samples):
        """What the teacher can say of images that nobody has classified yet.

        Args:
            tap: The tap that will make the record.
            inputs (Tensor): The student's images, (B, 3, H, W).
            data_samples (list): One an image.

        Returns:
            For :meth:`logits`; what it is, the tap knows.
        """
        inputs = self._to_input(inputs, data_samples)
        with self.speed.autocast(inputs.device.type):
            return tap.teacher_features(self.model, inputs)

    @torch.no_grad()
    def logits(self, tap, record, features) -> Tensor:
        """The teacher's logits for what the student has just classified.

        Args:
            tap: The tap that made the record.
            record: What it read from the student's forward, N samples.
            features: What :meth:`features` gave for the same images.

        Returns:
            Tensor: (N, C), C in the order of the student's classes.
        """
        with self.speed.autocast(record.logits.device.type):
            logits = tap.teacher_logits(self.model, features, record)
        if self._columns is not None:
            logits = logits.index_select(1, self._columns)
        return logits

    def relabel(self, outputs: list) -> list:
        """Rename predicted classes to the student's, and drop others.

        Args:
            outputs (list): What ``model.val_step`` gave; changed in place.

        Returns:
            list: The same.
        """
        if self._columns is None:
            return outputs
        for output in outputs:
            if 'pred_instances' in output:
                found = output.pred_instances
                match = found.labels[:, None] == self._columns
                found = found[match.any(1)]
                found.labels = match[match.any(1)].int().argmax(1)
                output.pred_instances = found
            elif 'pred_score' in output:
                score = output.pred_score[self._columns]
                output.pred_score = score
                output.pred_label = score.argmax(0, keepdim=True)
        return outputs

    def __str__(self) -> str:
        count = sum(p.numel() for p in self.model.parameters()) / 1e6
        notes = [f'{count:.1f} M parameters', self.source]
        if not self._to_input.identity:
            notes.append('images converted to its own preprocessing')
        if self._columns is not None:
            notes.append('classes matched by name')
        if self.speed.folded:
            notes.append('batch normalisation folded')
        return f'{type(self.model).__name__} ({", ".join(notes)})'
