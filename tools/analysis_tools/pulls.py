"""How strongly each term pulls at what it reads, relative to the task.

The pull of a loss is the norm of its gradient with respect to the student's
tensors that a term reads.

* Logits: of the term and of the cross entropy of the same rows, per row, added
  up over the rows.
* Boxes: of the term and of the task's ``loss_bbox``, with respect to the
  deltas that the box head gives, per row, added up over the rows.
  Of a cascade, with respect to the logits or deltas of all stages, each loss
  with the factor of its stage.
* Features, vectors and class maps, and what a teacher's head says of the
  student's maps (crossed): of the term and of the sum of all task losses, with
  respect to the maps that the term reaches, all together.
"""

from contextlib import ExitStack, contextmanager
from functools import partial
from typing import NamedTuple

import torch
from torch.nn import functional as F

from mmkd_plugin.distill.terms import LOGITS, kind_of
from mmkd_plugin.taps import RoIBoxTap
from mmkd_plugin.taps.maps.stage_paths import places


class Pull(NamedTuple):
    """The pull of a term in one step.

    Attributes:
        value (float): Of the term.
        own (float): Norm of its gradient.
        task (float): Norm of the task's gradient; 0 if it has none there.
        what (str): The losses of the task that it is compared with.
    """

    value: float
    own: float
    task: float
    what: str

    @property
    def ratio(self):
        """Pull relative to the task's; None if the task does not pull."""
        return self.own / self.task if self.task else None


class Heard(NamedTuple):
    """What was recorded in the forward pass of a step.

    Attributes:
        stages (dict[str, list]): What each term was computed from, with the
            graph of the student: name, factor and ``Reading`` of each stage
            of a cascade, otherwise one.
        outputs (dict[str, list[Tensor]]): What modules of the student gave.
    """

    stages: dict
    outputs: dict


def is_crossed(tap):
    """Whether a tap reads the teacher's head on the student's maps."""
    return getattr(tap, 'crossed', False)


def reads_logits(tap):
    """Whether a tap reads the logits of both models' own heads."""
    return kind_of(tap) == LOGITS and not is_crossed(tap)


def reads_deltas(tap):
    """Whether a tap reads the deltas of both models' own RoI heads."""
    return isinstance(tap, RoIBoxTap) and not is_crossed(tap)


def shared_modules(tap, student):
    """Places of what both a term and the task use.

    Args:
        tap: The tap of the term.
        student (nn.Module): The student.

    Returns:
        list[str]: Paths of modules, see
        :mod:`~mmkd_plugin.taps.maps.stage_paths`; none of them for logits.
    """
    if reads_logits(tap):
        return []
    if reads_deltas(tap):
        path = 'roi_head.bbox_head'
        stages = student.get_submodule(path)
        if isinstance(stages, torch.nn.ModuleList):
            return [f'{path}.{stage}' for stage in range(len(stages))]
        return [path]
    maps = ['neck'] if hasattr(student, 'neck') else ['backbone']
    if is_crossed(tap):
        return maps
    return list(places(student, getattr(tap, 'modules', maps)))


@contextmanager
def listen(student, *distillers):
    """Record what terms are called with, and the tensors that they pull at.

    Args:
        student (nn.Module): In training.
        *distillers (Distiller): Attached to it.

    Yields:
        Heard: Of the latest forward pass.
    """
    heard = Heard({}, {})

    def begin(model, args):
        heard.stages.clear()
        heard.outputs.clear()

    def hear(guard):
        original = guard.term

        def term(name, loss, factor, stages):
            heard.stages[name] = stages
            return original(name, loss, factor, stages)

        guard.term = term
        stack.callback(delattr, guard, 'term')

    def note(path, output):
        heard.outputs.setdefault(path, []).extend(_tensors(output))

    with ExitStack() as stack:

        def on(register, hook):
            stack.callback(register(hook).remove)

        on(student.register_forward_pre_hook, begin)
        paths = set()
        for distiller in distillers:
            hear(distiller.guard)
            for tap in distiller.taps:
                paths.update(shared_modules(tap, student))
        for place in paths:
            path, _, part = place.partition('@')
            module = student.get_submodule(path)
            if part == 'input':
                # Before a tap makes a copy of it.
                on(
                    partial(module.register_forward_pre_hook, prepend=True),
                    lambda module, args, place=place: note(place, args[0]),
                )
                continue
            on(
                module.register_forward_hook,
                lambda module, args, output, place=place: note(place, output),
            )
        yield heard


def _tensors(output):
    """The tensors in the output of a module that has a list of them."""
    parts = output if isinstance(output, (list, tuple)) else [output]
    return [part for part in parts if isinstance(part, torch.Tensor)]


def measure(student, output, heard, *distillers):
    """Pull of each term in the step whose forward pass was recorded.

    Args:
        student (nn.Module): The student.
        output (dict): What its forward returned, with the terms.
        heard (Heard): As of :func:`listen`.
        *distillers (Distiller): Those whose terms are in ``output``.

    Returns:
        dict[str, Pull]: Without the terms that had nothing to read.
    """
    terms = {
        name: term
        for distiller in distillers
        for name, term in distiller.terms.items()
    }
    found = {}
    for name, (_, tap) in terms.items():
        stages = [
            (factor, reading)
            for _, factor, reading in heard.stages.get(name, ())
            if len(_tensors(reading.student)[0])
        ]
        if not stages:
            continue
        if reads_logits(tap):
            what, task = 'the cross entropy', _cross_entropy(stages)
            at = [reading.student for _, reading in stages]
        else:
            at = [
                part
                for path in shared_modules(tap, student)
                for part in heard.outputs.get(path, ())
            ]
            what, task = _task(output, terms, tap)
        at = [part for part in at if part.requires_grad]
        own = _grads(output[name], at)
        # Not the maps that the term leaves out, nor the head's other output.
        reached = [part for part, grad in zip(at, own) if grad is not None]
        by_row = reads_logits(tap) or reads_deltas(tap)
        found[name] = Pull(
            output[name].item(),
            _norm(own, by_row),
            _norm(_grads(task, reached), by_row),
            what,
        )
    return found


def _cross_entropy(stages):
    return sum(
        factor * F.cross_entropy(reading.student.float(), reading.labels)
        for factor, reading in stages
    )


def _task(output, terms, tap):
    """What a term is compared with, and its value."""
    if reads_deltas(tap):
        # Of a cascade, s0.loss_bbox and so on, with the factor of the stage.
        own = [
            _sum(value)
            for name, value in output.items()
            if name.split('.')[-1] == 'loss_bbox'
        ]
        return '`loss_bbox`', sum(own)
    values = [
        _sum(value)
        for name, value in output.items()
        if 'loss' in name and name not in terms
    ]
    return 'the task losses', sum(values)


def _sum(value):
    """A loss as the engine sums it: a tensor, or a list of them."""
    parts = value if isinstance(value, (list, tuple)) else [value]
    return sum(part.mean() for part in parts)


def _grads(value, at):
    """Gradients of a value, None where it has none."""
    if not at or not getattr(value, 'requires_grad', False):
        return [None] * len(at)
    return torch.autograd.grad(value, at, retain_graph=True, allow_unused=True)


def _norm(grads, by_row):
    """Norm of gradients: of each row, added up, or of all together."""
    grads = [grad.float() for grad in grads if grad is not None]
    if by_row:
        return sum(grad.norm(dim=1).sum().item() for grad in grads)
    return sum(grad.square().sum().item() for grad in grads) ** 0.5
