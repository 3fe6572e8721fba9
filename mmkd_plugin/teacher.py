"""The teacher: built from a config, loaded strictly, frozen, matched."""

import importlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.nn as nn
from mmengine.config import Config
from mmengine.utils import import_modules_from_strings
from torch import Tensor

from .arguments import check_path, check_switch, check_text
from .checkpoint import load_strictly, read_checkpoint
from .class_names import classes_of, match_classes, read_names
from .exceptions import MMKDFileNotFoundError, MMKDTypeError, MMKDValueError
from .model_config import config_of, model_of
from .preprocessing import TeacherInput
from .teacher_speed import TeacherSpeed

# Of a TypeError where a class does not have the arguments that it was given.
ARGUMENTS = r'\w+(\.__init__)?\(\) (got an unexpected|missing \d+ required)'


def load_config(config) -> Config:
    """Read a teacher's config.

    Args:
        config (str | Path | dict | Config): Path of a config file, a name
            such as ``'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'``,
            or the config itself.

    Returns:
        Config: A config with a ``model``.

    Raises:
        FileNotFoundError: If the file, the named package or a base of the
            config is not there.
        ValueError: If the config cannot be read, or has no ``model``.
        TypeError: If ``config`` is of another type.
    """
    if isinstance(config, (str, Path)):
        check_path('teacher.config', config)
        cfg = config_of(_config_path(str(config)), "teacher's config")
    elif isinstance(config, dict):
        cfg = Config(dict(config))
        _import_modules(cfg)
    elif isinstance(config, Config):
        cfg = config
    else:
        raise MMKDTypeError(
            'Expected `config` of the teacher to be a path, a name such as '
            "'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py' or a dict "
            f'but got {type(config).__name__}.'
        )
    with _explain_imports():
        # A config in the style of plain Python imports its types only here.
        model = cfg.get('model')
    if not isinstance(model, dict) or 'type' not in model:
        raise MMKDValueError(
            "Expected the teacher's config to have a `model` with a `type` "
            f'but got the keys {sorted(cfg.keys())}: give the config that '
            'the teacher was trained with.'
        )
    scope = cfg.get('default_scope')
    if scope is not None and not isinstance(scope, str):
        raise MMKDTypeError(
            "Expected `default_scope` of the teacher's config to be the name "
            f'of a library, such as mmdet, but got {scope!r}.'
        )
    return cfg


@contextmanager
def _explain_imports() -> Iterator[None]:
    """Say of a failed import that the teacher's config wants it."""
    try:
        yield
    except ImportError as error:
        reason = str(error).strip().splitlines()[0]
        raise MMKDValueError(
            f"The teacher's config imports what is not there ({reason}): "
            'install what is missing, or the version of the library that the '
            'config is for.'
        ) from error


def _import_modules(cfg: Config) -> None:
    """Do for a dict what MMEngine does for a file."""
    imports = cfg.get('custom_imports')
    if not imports:
        return
    try:
        import_modules_from_strings(**imports)
    except (ImportError, TypeError) as error:
        reason = str(error.__context__ or error).strip().splitlines()[0]
        raise MMKDValueError(
            "The `custom_imports` of the teacher's config failed "
            f'({reason}): install what is missing, put its folder on '
            'PYTHONPATH, or take it out of the config.'
        ) from error


def _config_path(name: str) -> str:
    """Turn a path or a ``package::path`` name into the path of a file."""
    path = Path(name).expanduser()
    if '::' in name:
        package, relative = name.split('::', 1)
        try:
            # A folder without __init__.py can be imported, and has no file.
            root = Path(importlib.import_module(package).__file__ or '').parent
        except (ImportError, ValueError) as error:  # of '::x' too
            raise MMKDFileNotFoundError(
                f"The teacher's config {name!r} names the package "
                f'{package!r}, which cannot be imported ({error}): install '
                'it or give the path of a config file.'
            ) from error
        path = root / '.mim' / 'configs' / relative
    if not path.is_file():
        found = 'is a folder' if path.is_dir() else f'was not found at {path}'
        raise MMKDFileNotFoundError(
            f"The teacher's config {name!r} {found}: give "
            'the path of a config file or a name of the form '
            "'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'."
        )
    return str(path)


def build_model(cfg: Config) -> nn.Module:
    """Build the model of a :func:`load_config`, with random weights.

    Raises:
        TypeError: If what the config names is no model.
        ValueError: If nothing registers a type that the config names, or the
            arguments of one are not its own.
    """
    try:
        # The student must see the same random numbers with or without.
        with torch.random.fork_rng(devices=[]), _explain_imports():
            model = model_of(cfg)
    except TypeError as error:
        if not re.search(ARGUMENTS, str(error)):
            raise
        raise MMKDValueError(
            f"The model of the teacher's config could not be built "
            f'({str(error).splitlines()[0]}): correct its arguments, or '
            'install the version of the library that the config is for.'
        ) from error
    except KeyError as error:
        found = re.match(r'(\S+) is not in the', str(error.args[0]))
        if not found:
            raise
        raise MMKDValueError(
            f"The teacher's config needs the type {found[1]!r}, "
            'which nothing registers in its `default_scope` '
            f'{cfg.get("default_scope")!r}: correct the name or the scope, '
            'or install the package that has it.'
        ) from error
    if not isinstance(model, nn.Module):
        raise MMKDTypeError(
            f"The `model` of the teacher's config has the type "
            f'{cfg.model["type"]!r}, which makes a {type(model).__name__} '
            'and no model: give the config that the teacher was trained with.'
        )
    return model


class Teacher:
    """A frozen model, and how a student's batch is shown to it.

    Args:
        config (str | Path | dict | Config): See :func:`load_config`.
        checkpoint (str): Path or URL, see
            :func:`~mmkd_plugin.checkpoint.read_checkpoint`.
        prefix (str): What the names in the checkpoint begin with where it
            was saved by a wrapper around the model.
        trust_checkpoint (bool): Whether to run code in the checkpoint.
        precision, channels_last, fuse_bn, compile: See
            :class:`~mmkd_plugin.teacher_speed.TeacherSpeed`.
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
        self.classes = names or _classes_of(meta, cfg)

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


def _classes_of(meta: dict, cfg: Config) -> tuple[str, ...] | None:
    """A teacher's class names, from its checkpoint or else its config."""
    advice = "; tell the teacher's by `classes` in `teacher`"
    if isinstance(meta, dict):
        for source in (meta.get('dataset_meta'), meta):
            names = classes_of(source, "the teacher's checkpoint", advice)
            if names:
                return names
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        dataset = (cfg.get(loader) or {}).get('dataset')
        # Wrappers have the data set in them; of several, the first one.
        while isinstance(dataset, dict):
            metainfo = dataset.get('metainfo')
            names = classes_of(metainfo, "the teacher's config", advice)
            if names:
                return names
            inner = dataset.get('dataset') or dataset.get('datasets')
            dataset = inner[0] if isinstance(inner, list) else inner
    return None
