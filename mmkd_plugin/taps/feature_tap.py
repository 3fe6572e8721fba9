"""Feature maps: of a neck, of backbone stages, or of any module.

B images, L levels of C_l channels and h_l x w_l places. A level is named by
its stride: p3 has stride 2^3.
"""

import math
from collections.abc import Sequence

import torch.nn as nn
from mmengine.registry import TASK_UTILS
from torch import Tensor
from torch.nn import functional as F
from torch.utils.hooks import RemovableHandle

from ..arguments import check_switch, shown
from ..exceptions import (
    MMKDRuntimeError,
    MMKDTypeError,
    MMKDValueError,
)
from .reading import Reading
from .recorder import Recorder

NECK = ('neck',)
NAMES = tuple(f'p{n}' for n in range(10))


@TASK_UTILS.register_module()
class FeatureTap:
    """Read feature maps of the student, and those of the teacher.

    Works with every model whose named modules give maps of shape
    (B, C, h, w), alone or in a list.

    Args:
        modules: Path of the module, or paths of several, as in
            ``model.named_modules()``: 'neck', 'backbone' (its stages) or for
            example 'backbone.layer3'.
        teacher_modules: The same of the teacher; None: as the student's.
        levels: Names of the levels to read, 'p2' for stride 4, 'p3' for 8
            and so on; None: all, of which both models must have the same.
        teacher_levels: Name of the teacher's level for each of ``levels``,
            in strides of the images that the teacher sees; one may teach
            several.  None: as ``levels``.
        resize: Whether the student's maps are resized bilinearly where the
            teacher's have another height or width; otherwise it is an error.

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
        resize: bool = False,
        teacher_levels: Sequence[str] | None = None,
    ) -> None:
        check_switch(resize=resize)
        self.modules = _paths('modules', modules)
        self.teacher_modules = self.modules
        if teacher_modules is not None:
            self.teacher_modules = _paths('teacher_modules', teacher_modules)
        self.levels = None
        if levels is not None:
            self.levels = _levels('levels', levels, 'different ')
        self.teacher_levels = self.levels
        if teacher_levels is not None:
            self.teacher_levels = _levels('teacher_levels', teacher_levels)
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
        return self.teacher_modules != NECK

    def fits(self, model: nn.Module) -> bool:
        """Whether a model has the modules that this tap reads."""
        return not _missing(model, self.modules)

    def refuse(self, role: str, model: nn.Module) -> None:
        """Refuse a model without the modules.

        Args:
            role: 'student' or 'teacher'.
            model: Not wrapped.

        Raises:
            TypeError: If it lacks one.
        """
        name, paths = 'modules', self.modules
        if role != 'student':
            name, paths = 'teacher_modules', self.teacher_modules
        missing = _missing(model, paths)
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

    def attach(self, student: nn.Module, teacher: nn.Module) -> None:
        """Register hooks on the modules.

        Args:
            student: In training.
            teacher: The teacher.
        """
        self._student = student
        own = Recorder(student, self.modules, 'student')
        self._recorders = [own]
        # Plain function: deepcopy would copy a bound method's object.
        self._handle = student.register_forward_pre_hook(
            lambda *call: self._begin(*call), with_kwargs=True
        )
        if self.intact:
            self._recorders.append(
                Recorder(teacher, self.teacher_modules, 'teacher')
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
        own = _choose(found[0], size, self.levels, 'student')
        if teacher is None:
            other = tuple(part.detach() for part in own.values())
            return Reading(tuple(own.values()), other, None, None)
        if not self.intact:
            found.append(teacher.answer(neck_maps))
        seen = teacher.image_size
        others = _choose(found[1], seen, self.teacher_levels, 'teacher')
        if self.levels is None and list(own) != list(others):
            raise MMKDRuntimeError(
                f'FeatureTap read {_names(own)} of the student and '
                f'{_names(others)} of the teacher: name `levels` that both '
                'have, or `teacher_modules` of the same strides.'
            )
        if teacher.input_size is None:
            # The padding of the two may differ, at the right and the bottom.
            both = tuple(min(sides) for sides in zip(size, seen))
            own = {n: _cut(part, size, both) for n, part in own.items()}
            others = {n: _cut(part, seen, both) for n, part in others.items()}
            size = both
        pairs = [
            self._pair(own[name], others[other], name)
            for name, other in zip(own, self.teacher_levels or own)
        ]
        student, other = zip(*pairs)
        return Reading(student, other, ground_truth(samples, size), None)

    def _pair(
        self, own: Tensor, other: Tensor, name: str
    ) -> tuple[Tensor, Tensor]:
        size = other.shape[-2:]
        if own.shape[-2:] == size:
            return own, other
        if self.resize:
            own = F.interpolate(
                own, size=size, mode='bilinear', align_corners=False
            )
            return own, other
        raise MMKDRuntimeError(
            f'The maps of {name} differ in size: student '
            f'{tuple(own.shape[-2:])}, teacher {tuple(size)}; set '
            '`resize=True` in the FeatureTap.'
        )


def _choose(
    maps: Sequence[Tensor],
    size: Sequence[int],
    levels: Sequence[str] | None,
    role: str,
) -> dict[str, Tensor]:
    """The wanted levels by name; all, numbered where names repeat."""
    if not maps:
        raise MMKDRuntimeError(
            f'No module that FeatureTap reads of the {role} ran in this '
            'step: name modules of its backbone or neck.'
        )
    named: dict[str, Tensor] = {}
    repeated = ''
    for part in maps:
        name = f'p{_level(part, size)}'
        repeated = name if name in named else repeated
        named[name] = part
    if levels is None:
        if repeated:
            return {f'map {n}': part for n, part in enumerate(maps)}
        return named
    if repeated in levels:
        raise MMKDRuntimeError(
            f'FeatureTap read several maps of the {role} that are '
            f'{repeated}: name the `modules` one by one, without '
            '`levels`.'
        )
    missing = [name for name in levels if name not in named]
    if missing:
        raise MMKDRuntimeError(
            f'Expected level {missing[0]} among the maps that FeatureTap '
            f'reads of the {role} but got {_names(named)}: set `levels` '
            'of the tap to those that student and teacher have'
            f'{"" if role == "student" else ", or `teacher_levels`"}.'
        )
    return {name: named[name] for name in levels}


def _level(part: Tensor, size: Sequence[int]) -> int:
    """The n of the stride 2^n of a map, or of the one nearest to its own.

    By its size: strided layers round the number of places up, which is much
    where there are few.

    Args:
        part: (B, C, h, w).
        size: Height and width of its images.
    """
    ratio = math.log2(size[-1] / part.shape[-1])
    exact = [
        n
        for n in range(len(NAMES))
        if [math.ceil(side / 2**n) for side in size] == [*part.shape[-2:]]
    ]
    return min(exact, key=lambda n: abs(n - ratio), default=round(ratio))


def _cut(part: Tensor, size: Sequence[int], both: Sequence[int]) -> Tensor:
    """The places of a map that lie in a part of its images.

    Args:
        part: (B, C, h, w).
        size: Height and width of its images.
        both: Those of the part, from the upper left corner.
    """
    if tuple(size) == tuple(both):
        return part
    stride = 2 ** _level(part, size)
    strides = [float(stride)] * 2
    if [math.ceil(side / stride) for side in size] != [*part.shape[-2:]]:
        strides = [side / n for side, n in zip(size, part.shape[-2:])]
    height, width = (
        math.ceil(side / stride) for side, stride in zip(both, strides)
    )
    return part[..., :height, :width]


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


def _levels(name: str, value: object, different: str = '') -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or not value:
        raise MMKDTypeError(
            f'Expected argument `{name}` to be a list of names such as p3 '
            f'(stride 8) but got {shown(value)}.'
        )
    wrong = [level for level in value if level not in NAMES]
    if wrong or (different and len(set(value)) < len(value)):
        raise MMKDValueError(
            f'Expected argument `{name}` to hold {different}names such as p3 '
            f'(stride 8) but got {shown(value)}.'
        )
    return tuple(value)


def _missing(model: nn.Module, paths: Sequence[str]) -> str:
    """The first path that a model does not have."""
    modules = dict(model.named_modules())
    return next((path for path in paths if path not in modules), '')


def _names(maps: dict[str, Tensor]) -> str:
    return ', '.join(maps)


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
