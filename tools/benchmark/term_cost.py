"""What distillation terms take: time and memory.

A term is made again from what it read in a step, with everything else ready:
the teacher's answers and the student's tensors, as leaves of the graph.
Forward is the loss, and for taps of RoIs what they do with the student's RoIs;
for crossed ones, the teacher's head runs in it, on the student's maps.
Backward ends at the leaves, and at the loss's own parameters.
"""

import statistics
import time
from functools import partial
from types import SimpleNamespace

import torch
from peak_memory import peak_memory
from stepping import distill_hook
from timing import synchronize
from torch import Tensor

from mmkd_plugin.distill.stages import take

# Name of the sum of all terms.
ALL = 'all'
# What is the student's in `RoIs`.
OF_STUDENT = ('logits', 'deltas', 'maps')


class Ready:
    """A teacher whose answers are ready, but for those that are crossed.

    Args:
        teacher (Teacher): Connected to its student.
        request (Request): What it was asked.
    """

    def __init__(self, teacher, request):
        self.teacher = teacher
        self.columns = teacher.columns
        self.missing, self.known = teacher.missing, teacher.known
        self.reorder = teacher.reorder
        teacher.see(request.inputs, request.data_samples)
        self.answers = {ask: teacher.answer(ask) for ask in request.asks}
        teacher.forget()
        self.crossed = {}

    def answer(self, ask):
        return self.answers[ask]

    def logits(self, ask, pick=None):
        found = self.answers[ask]
        return self.reorder(pick(found) if pick else found)

    def cross(self, ask, features):
        if ask not in self.crossed:
            self.crossed[ask] = self.teacher._run(ask, features)
        return self.crossed[ask]


def leaves(part):
    """The same with all floating tensors of the student as leaves."""
    if isinstance(part, Tensor):
        return part.detach().requires_grad_(part.is_floating_point())
    if isinstance(part, tuple):
        return tuple(map(leaves, part))
    return part


def as_leaves(rois):
    """RoIs of a stage with what is the student's as leaves; None: not run."""
    return rois and rois._replace(
        **{key: leaves(getattr(rois, key)) for key in OF_STUDENT}
    )


def again(runner, request):
    """The terms of a step, to be made again.

    Args:
        runner (Runner): Has made a step.
        request (Request): Of that step.

    Returns:
        Callable: Called with names of terms, returns the sum of their values,
        with the graph.  Crossed ones run the teacher's head once.
    """
    distiller = distill_hook(runner).distiller
    (teacher,) = distiller.teachers
    ready = Ready(teacher, request)
    device = request.inputs.device.type

    def make(*names):
        ready.crossed.clear()
        values = []
        for name in names:
            loss, tap = distiller.terms[name]
            stages = read(name, tap)
            # As in training, where the losses compute in float32.
            with torch.autocast(device, enabled=False):
                values.append(distiller.guard.term(name, loss, 1.0, stages))
        ready.crossed.clear()
        return sum(values)

    def read(name, tap):
        if tap not in request.rois:
            return [
                (*stage, reading._replace(student=leaves(reading.student)))
                for *stage, reading in request.stages[name]
            ]
        records = tap._records
        tap._records = [
            SimpleNamespace(take=partial(as_leaves, rois))
            for rois in request.rois[tap]
        ]
        try:
            return take(tap, ready)
        finally:
            tap._records = records

    return make


def cost_of_terms(runner, request, steps):
    """Time and memory of each term, in turn, and of all together.

    Args:
        runner (Runner): Has made a step.
        request (Request): Of that step.
        steps (int): How often each is made.

    Returns:
        dict[str, dict]: By name, and for :data:`ALL`, medians in milliseconds
        of ``forward`` and ``backward``, in CPU time on the CPU and in
        wall-clock time of the host otherwise; ``memory``, the peak in bytes of
        both.
    """
    on_cpu = request.inputs.device.type == 'cpu'
    clock = time.process_time if on_cpu else time.perf_counter
    make = again(runner, request)
    groups = {name: (name,) for name in request.stages}
    groups[ALL] = tuple(request.stages)
    spans = {name: ([], []) for name in groups}
    for turn in range(-1, steps):
        for name, names in groups.items():
            found = _time(make, names, clock)
            if turn >= 0:
                for span, milliseconds in zip(spans[name], found):
                    span.append(milliseconds)
    costs = {}
    for name, (forward, backward) in spans.items():
        costs[name] = dict(
            forward=statistics.median(forward),
            backward=statistics.median(backward),
            memory=peak_memory(
                lambda names=groups[name]: make(*names).backward()
            ),
        )
    runner.optim_wrapper.zero_grad()
    return costs


def _time(make, names, clock):
    """Milliseconds of the forward and backward pass of some terms."""
    synchronize()
    times = [clock()]
    value = make(*names)
    synchronize()
    times.append(clock())
    value.backward()
    synchronize()
    times.append(clock())
    return [1e3 * (b - a) for a, b in zip(times, times[1:])]


def print_costs(costs, whole):
    """Print the result of :func:`cost_of_terms` as a Markdown table.

    Args:
        costs (dict): The result.
        whole (float): Milliseconds of the student's step.
    """
    print('| term | forward, ms | backward, ms ', end='')
    print("| of the student's step | peak memory, MiB |")
    print('|---|--:|--:|--:|--:|')
    for name, cost in costs.items():
        own = cost['forward'] + cost['backward']
        print(
            f'| {name} | {cost["forward"]:.3f} | {cost["backward"]:.3f} '
            f'| {own / whole:.2%} | {cost["memory"] / 2**20:.2f} |'
        )
