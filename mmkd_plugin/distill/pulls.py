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

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn as nn
from torch import Tensor
from torch.nn import functional as F

from .terms import LOGITS, kind_of

# Gradients at half-precision tensors are far below 1: keeps them from
# becoming 0.
SCALE = 1024.0


class Pull(NamedTuple):
    """The pull of a term in one step.

    Attributes:
        value: Of the term.
        own: Norm of its gradient.
        task: Norm of the task's gradient; 0 if it has none there.
        what: The losses of the task that it is compared with.
    """

    value: float
    own: float
    task: float
    what: str

    @property
    def ratio(self) -> float | None:
        """Pull relative to the task's; None if the task does not pull."""
        return self.own / self.task if self.task else None


class Heard(NamedTuple):
    """What was recorded in the forward pass of a step.

    Attributes:
        stages: What each term was computed from, with the graph of the
            student: name, factor and ``Reading`` of each stage of a cascade,
            otherwise one.
        outputs: What modules of the student gave.
    """

    stages: dict[str, list]
    outputs: dict[str, list[Tensor]]


def is_crossed(tap: Any) -> bool:
    """Whether a tap reads the teacher's head on the student's maps."""
    return getattr(tap, 'crossed', False)


def reads_logits(tap: Any) -> bool:
    """Whether a tap reads the logits of both models' own heads."""
    return kind_of(tap) == LOGITS and not is_crossed(tap)


def reads_deltas(tap: Any) -> bool:
    """Whether a tap reads the deltas of both models' own RoI heads."""
    return getattr(tap, 'task', None) == 'loss_bbox' and not is_crossed(tap)


def shared_modules(tap: Any, student: nn.Module) -> list[str]:
    """Places of what both a term and the task use.

    Args:
        tap: The tap of the term; its ``shared`` tells, if it has one.
        student: Not wrapped.

    Returns:
        Paths of modules, with ``@input`` for what a module is given; none of
        them for logits.
    """
    if reads_logits(tap):
        return []
    if is_crossed(tap) or not hasattr(tap, 'shared'):
        return ['neck'] if hasattr(student, 'neck') else ['backbone']
    return list(tap.shared(student))


@contextmanager
def outputs_of(
    student: nn.Module, taps: list
) -> Iterator[dict[str, list[Tensor]]]:
    """Record what modules that terms and task share give.

    Args:
        student: In training, not wrapped.
        taps: Attached to it.

    Yields:
        By place, the tensors of the latest forward pass, with their graph.
    """
    outputs: dict[str, list[Tensor]] = {}

    def note(place: str, output: Any) -> None:
        outputs.setdefault(place, []).extend(_tensors(output))

    with ExitStack() as stack:

        def on(register, hook) -> None:
            stack.callback(register(hook).remove)

        on(
            student.register_forward_pre_hook,
            lambda module, args: outputs.clear(),
        )
        for place in {x for tap in taps for x in shared_modules(tap, student)}:
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
        yield outputs


@contextmanager
def listen(student: nn.Module, *distillers: Any) -> Iterator[Heard]:
    """Record what terms are called with, and the tensors that they pull at.

    Args:
        student: In training.
        *distillers: Each a ``Distiller`` that is attached to it.

    Yields:
        What belongs to the latest forward pass.
    """
    stages: dict[str, list] = {}

    def hear(guard) -> None:
        original = guard.term

        def term(name, loss, factor, found):
            stages[name] = found
            return original(name, loss, factor, found)

        guard.term = term
        stack.callback(delattr, guard, 'term')

    with ExitStack() as stack:
        handle = student.register_forward_pre_hook(
            lambda module, args: stages.clear()
        )
        stack.callback(handle.remove)
        for distiller in distillers:
            hear(distiller.guard)
        taps = [tap for distiller in distillers for tap in distiller.taps]
        outputs = stack.enter_context(outputs_of(student, taps))
        yield Heard(stages, outputs)


def _tensors(output: Any) -> list[Tensor]:
    """The tensors in the output of a module that has a list of them."""
    parts = output if isinstance(output, (list, tuple)) else [output]
    return [part for part in parts if isinstance(part, Tensor)]


def measure(
    student: nn.Module, output: dict, heard: Heard, *distillers: Any
) -> dict[str, Pull]:
    """Pull of each term in the step whose forward pass was recorded.

    Args:
        student: Not wrapped.
        output: What its forward returned, with the terms.
        heard: As of :func:`listen`.
        *distillers: Those whose terms are in ``output``.

    Returns:
        By name, without the terms that had nothing to read.
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
        pull = Pull(
            output[name].item(),
            _norm(own, by_row),
            _norm(_grads(task, reached), by_row),
            what,
        )
        # Measured on all ranks alike, for a backward pass may exchange
        # something; those without rows have nothing to say.
        if any(len(_tensors(reading.student)[0]) for _, reading in stages):
            found[name] = pull
    return found


def _cross_entropy(stages: list[tuple]) -> Any:
    return sum(
        factor * F.cross_entropy(reading.student.float(), reading.labels)
        for factor, reading in stages
        if len(reading.student)
    )


def _task(output: dict, terms: dict, tap: Any) -> tuple[str, Any]:
    """What a term is compared with, and its value."""
    if reads_deltas(tap):
        # Of a cascade, s0.loss_bbox and so on, with the factor of the stage.
        own = [
            _sum(value)
            for name, value in output.items()
            if name.split('.')[-1] == tap.task
        ]
        return f'`{tap.task}`', sum(own)
    values = [
        _sum(value)
        for name, value in output.items()
        if 'loss' in name and name not in terms
    ]
    return 'the task losses', sum(values)


def _sum(value: Any) -> Any:
    """A loss as the engine sums it: a tensor, or a list of them."""
    parts = value if isinstance(value, (list, tuple)) else [value]
    return sum(part.mean() for part in parts)


def _grads(value: Any, at: list[Tensor]) -> list[Tensor | None]:
    """Gradients of a value, in float32; None where it has none."""
    if not at or not getattr(value, 'requires_grad', False):
        return [None] * len(at)
    grads = torch.autograd.grad(
        SCALE * value, at, retain_graph=True, allow_unused=True
    )
    return [None if grad is None else grad.float() / SCALE for grad in grads]


def _norm(grads: list[Tensor | None], by_row: bool) -> float:
    """Norm of gradients: of each row, added up, or of all together."""
    there = [grad for grad in grads if grad is not None]
    if by_row:
        return sum(grad.norm(dim=1).sum().item() for grad in there)
    return sum(grad.square().sum().item() for grad in there) ** 0.5
