"""Feature maps: of a neck, of backbone stages, or of any module.

B images, L levels of C_l channels and h_l x w_l places.
"""

from collections.abc import Sequence

import torch.nn as nn
from mmengine.registry import TASK_UTILS
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from ...arguments import shown
from ...exceptions import (
    MMKDRuntimeError,
    MMKDTypeError,
    MMKDValueError,
)
from ..reading import Reading
from .feature_levels import choose, cut, read_levels
from .map_sizes import check_resize, fit
from .recorder import Recorder
from .stage_paths import POOLED, is_named, places

NECK = ('neck',)
# What the `extract_feat` of a teacher gives anyhow.
GIVEN = (NECK, (POOLED,))


@TASK_UTILS.register_module()
class FeatureTap:
    """Read feature maps of the student, and those of the teacher.

    Works with every model whose named modules give maps of shape
    (B, C, h, w), alone or in a list.

    Args:
        modules: Path of the module, or paths of several, as in
            ``model.named_modules()``: 'neck', 'backbone' (what it gives) or
            for example 'backbone.layer3'; 'backbone.layer3@input' is what
            that is given.  Of an image classifier, names stand for paths,
            see :func:`~mmkd_plugin.taps.maps.stage_paths.places`: 'stages' of
            the backbone, or one, 'stages.1' or 'stages.-1' for the last;
            'preactivations', the same before their last ReLU; 'last_map',
            which the neck pools; 'pooled', the vector (B, C) that it makes
            of that, as maps (B, C, 1, 1).
        teacher_modules: The same of the teacher; None: as the student's.
        levels: Names of the levels to read, 'p2' for stride 4, 'p3' for 8
            and so on; None: all.  Maps of equal modules are then paired by
            their strides, which must be the same; those of different ones,
            and of names such as 'stages', in their order, of which there
            must be equally many.
        teacher_levels: Name of the teacher's level for each of ``levels``,
            in strides of the images that the teacher sees; one may teach
            several.  None: as ``levels``.
        resize: What to do where height or width differ.  False: it is an
            error.  True: resize the student's map bilinearly.  'pool': pool
            the larger map to the size of the smaller, by averages.  'keep':
            nothing; the loss must take such maps.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a level has another name.
    """

    kind = 'features'
    per_class = False
    # The teacher's images may be of another size than the student's.
    any_size = True

    def __init__(
        self,
        modules: str | Sequence[str] = 'neck',
        teacher_modules: str | Sequence[str] | None = None,
        levels: Sequence[str] | None = None,
        resize: bool | str = False,
        teacher_levels: Sequence[str] | None = None,
    ) -> None:
        check_resize(resize)
        self.modules = _paths('modules', modules)
        self.teacher_modules = self.modules
        if teacher_modules is not None:
            self.teacher_modules = _paths('teacher_modules', teacher_modules)
        self.levels = None
        if levels is not None:
            self.levels = read_levels('levels', levels, 'different ')
        self.teacher_levels = self.levels
        if teacher_levels is not None:
            self.teacher_levels = read_levels('teacher_levels', teacher_levels)
            if len(self.teacher_levels) != len(self.levels or ()):
                raise MMKDValueError(
                    'Expected argument `teacher_levels` to have a name for '
                    f'each of `levels` but got {shown(teacher_levels)} for '
                    f'{shown(levels)}.'
                )
        self.resize = resize
        self._recorders: list[Recorder] = []
        self._handle: RemovableHandle | None = None
        self._batch: tuple | None = None

    @property
    def intact(self) -> bool:
        """Whether modules of the teacher are read that folding changes."""
        return self.teacher_modules not in GIVEN

    @property
    def is_open(self) -> bool:
        """Whether a forward of the student has begun, and was not taken."""
        return self._batch is not None

    @property
    def samples(self) -> Sequence | None:
        """The data samples of the forward that :meth:`take` will give."""
        return self._batch[1] if self._batch else None

    def shared(self, student: nn.Module) -> tuple[str, ...]:
        """Places in a student whose maps the term and the task use."""
        return places(student, self.modules)

    def fits(self, model: nn.Module) -> bool:
        """Whether a model has the modules that this tap reads."""
        try:
            return not _missing(model, places(model, self.modules))
        except MMKDTypeError:
            return False

    def refuse(self, role: str, model: nn.Module) -> None:
        """Refuse a model without the modules.

        Args:
            role: 'student' or 'teacher'.
            model: Not wrapped.

        Raises:
            TypeError: If it lacks one, or has no such stages.
        """
        name, paths = 'modules', self.modules
        if role != 'student':
            name, paths = 'teacher_modules', self.teacher_modules
        missing = _missing(model, places(model, paths, role))
        if missing:
            parts = [name for name, _ in model.named_children()]
            raise MMKDTypeError(
                f'The {role} {type(model).__name__} has no module '
                f'{missing!r}, but FeatureTap reads it: set `{name}` to the '
                f'path of one of its modules, which begin with '
                f'{", ".join(parts)}.'
            )

    def reads(self, teacher: nn.Module) -> str:
        """What is read of a teacher, for the log."""
        return f'its {", ".join(self.teacher_modules)}'

    def channels(
        self, student: nn.Module, teacher: nn.Module, side: int
    ) -> tuple[list[int], list[int]]:
        """Measure the channels of the maps that are read.

        Args:
            student, teacher: In eval mode, with ``extract_feat``.
            side: Height and width of the image to show them.

        Returns:
            Of student and teacher, of each level.

        Raises:
            RuntimeError: If they do not have the levels.
        """
        found = []
        for role, model, modules, levels in (
            ('student', student, self.modules, self.levels),
            ('teacher', teacher, self.teacher_modules, self.teacher_levels),
        ):
            recorder = Recorder(model, places(model, modules, role), role)
            recorder.open()
            image = next(model.parameters()).new_zeros(1, 3, side, side)
            try:
                model.extract_feat(image)
                maps = choose(recorder.take(), (side, side), levels, role)
            finally:
                recorder.close()
            found.append([part.shape[1] for part in maps.values()])
        return found[0], found[1]

    def attach(self, student: nn.Module, teacher: nn.Module) -> None:
        """Register hooks on the modules.

        Args:
            student: In training.
            teacher: The teacher.
        """
        self._student = student
        wanted = {'student': self.modules}
        if self.intact:
            wanted['teacher'] = self.teacher_modules
        self._recorders = [
            Recorder(model, places(model, wanted[role], role), role)
            for role, model in zip(wanted, (student, teacher))
        ]
        # Plain function: deepcopy would copy a bound method's object.
        self._handle = student.register_forward_pre_hook(
            lambda *call: self._begin(*call), with_kwargs=True
        )

    def detach(self) -> None:
        """Remove the hooks, and free the last forward."""
        for recorder in self._recorders:
            recorder.close()
        if self._handle is not None:
            self._handle.remove()
            self._handle = None
            del self._student
        self._recorders, self._batch = [], None

    def _begin(self, model: nn.Module, args: tuple, kwargs: dict) -> None:
        """Forward pre-hook of the student: begin to record."""
        call = dict(zip(('inputs', 'data_samples', 'mode'), args), **kwargs)
        # A copy of the model has copies of the hooks.
        if (
            model is self._student
            and model.training
            and call.get('mode') == 'loss'
        ):
            for recorder in self._recorders:
                recorder.open()
            self._batch = call['inputs'].shape[-2:], call.get('data_samples')

    def take(self, teacher) -> Reading | None:
        """Return the reading of the student's last forward, and clear it.

        Args:
            teacher (Teacher | None): Has seen the images of that forward.
                None: no teacher runs; its maps in the reading are then a
                placeholder.

        Returns:
            Tuples of L maps (B, C_l, h_l, w_l), fine to coarse for a neck;
            as labels the ground-truth boxes of each image, (n_i, 4), corners
            x1, y1, x2, y2 as fractions of the padded batch's width and
            height, without what only one of the models pads, or None if the
            model has no boxes, or rotated ones; weights None.
            None if the student did not run.

        Raises:
            RuntimeError: If the maps do not pair.
        """
        batch, self._batch = self._batch, None
        if batch is None:
            return None
        size, samples = batch
        found = [recorder.take() for recorder in self._recorders]
        own = choose(found[0], size, self.levels, 'student')
        if teacher is None:
            other = tuple(part.detach() for part in own.values())
            return Reading(tuple(own.values()), other, None, None)
        if not self.intact:
            maps = teacher.answer(neck_maps)
            if self.teacher_modules != NECK:
                maps = (maps[-1][:, :, None, None],)
            found.append(maps)
        seen = teacher.image_size
        others = choose(found[1], seen, self.teacher_levels, 'teacher')
        self._check_names([*own], [*others])
        if teacher.input_size is None:
            # The padding of the two may differ, at the right and the bottom.
            both = tuple(min(sides) for sides in zip(size, seen))
            own = {n: cut(part, size, both) for n, part in own.items()}
            others = {n: cut(part, seen, both) for n, part in others.items()}
            size = both
        pairs = [
            fit(own[name], others[other], self.resize, name)
            for name, other in zip(own, self.teacher_levels or others)
        ]
        student, other = zip(*pairs)
        return Reading(student, other, ground_truth(samples, size), None)

    def _check_names(self, own: list[str], others: list[str]) -> None:
        """Raise unless the levels of student and teacher pair."""
        if self.levels is not None:
            return
        if self.modules != self.teacher_modules or any(
            map(is_named, self.modules)
        ):
            if len(own) == len(others):
                return
            raise MMKDRuntimeError(
                f'FeatureTap read {len(own)} maps of the student and '
                f'{len(others)} of the teacher, which it pairs in their '
                'order: name equally many `modules` and `teacher_modules`.'
            )
        if own != others:
            raise MMKDRuntimeError(
                f'FeatureTap read {", ".join(own)} of the student and '
                f'{", ".join(others)} of the teacher: name `levels` that '
                'both have, or `teacher_modules` of the same strides.'
            )


def neck_maps(model: nn.Module, features: Sequence[Tensor]):
    """The result of a teacher's ``extract_feat``."""
    return features


def _paths(name: str, value: object) -> tuple[str, ...]:
    paths = (value,) if isinstance(value, str) else value
    if (
        not isinstance(paths, (list, tuple))
        or not paths
        or not all(isinstance(path, str) and path for path in paths)
    ):
        raise MMKDTypeError(
            f'Expected argument `{name}` to be the path of a module, or a '
            f'list of paths, but got {shown(value)}.'
        )
    if len(set(paths)) < len(paths):
        raise MMKDValueError(
            f'Expected argument `{name}` to name each module once but got '
            f'{shown(value)}.'
        )
    return tuple(paths)


def _missing(model: nn.Module, paths: Sequence[str]) -> str:
    """The first path that a model does not have."""
    modules = dict(model.named_modules())
    return next((p for p in paths if p.split('@')[0] not in modules), '')


def ground_truth(samples, size: Sequence[int]) -> list[Tensor] | None:
    """Ground-truth boxes as fractions of the padded batch; None: none."""
    found = []
    for sample in samples or ():
        boxes = getattr(getattr(sample, 'gt_instances', None), 'bboxes', None)
        if boxes is None:
            return None
        boxes = getattr(boxes, 'tensor', boxes)
        if boxes.shape[-1] != 4:
            return None  # rotated
        height, width = size
        found.append(boxes / boxes.new_tensor([width, height, width, height]))
    return found or None
