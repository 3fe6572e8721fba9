#!/usr/bin/env python
"""Measure how strongly each term pulls, relative to the task.

Without training, runs student and teacher of a config over some batches. For
logits, takes for several numbers N of samples (images or RoIs) the gradient of
each term and of the cross entropy with respect to the student's logits. The
pull of a loss is the norm of that gradient per sample, summed over the
samples: the loss is a mean over the samples, so its pull does not grow with N
by itself. A term whose pull is 1 times that of the cross entropy moves the
logits as much. Of a cascade, the samples are the RoIs of all stages.

For boxes, features and crossed heads, the pull is that of whole batches, with
respect to the box deltas relative to `loss_bbox`, or to the student's maps
relative to all task losses. For features there is also the mean square of the
teacher's maps: a loss of squared differences, such as ReviewKD's, grows with
it, so keep its weight times that number when the teacher changes.

    python tools/analysis_tools/weigh_terms.py CONFIG --student STUDENT.pth

The pull depends on the student, by default one before its training, and
changes during training: a pull of 1 does not make a weight the right one.
"""

import math
from collections import defaultdict
from statistics import fmean
from typing import NamedTuple

import readings
import torch
from torch.nn import functional as F

from mmkd_plugin.cli.errors import explain_errors
from mmkd_plugin.distill import pulls
from mmkd_plugin.distill.terms import settings_of


class Found(NamedTuple):
    """What some batches told.

    Attributes:
        logits (dict): Tap to its readings, one per batch and stage of a
            cascade, detached.
        others (dict[str, list[Pull]]): Of the terms that read anything else.
        squares (dict): Tap of features to a list per batch, with the mean
            square of each of the teacher's maps.
        shapes (dict): Tap of features to the shapes of these maps.
    """

    logits: dict
    others: dict
    squares: dict
    shapes: dict


def gather(runner, distiller, batches):
    """Run student and teacher over some training batches.

    Args:
        runner (Runner): Of a config with a distillation hook.
        distiller (Distiller): Attached to the runner's model.
        batches (int): How many batches to take.

    Returns:
        Found: Of the batches in which the terms had something to read.
    """
    found = Found(*(defaultdict(list) for _ in range(3)), {})
    model = runner.model.train()
    # What is not needed for logits takes memory.
    graph = not all(map(pulls.reads_logits, distiller.taps))
    with (
        torch.set_grad_enabled(graph),
        pulls.listen(model, distiller) as heard,
    ):
        for batch in readings.first_batches(runner, batches):
            data = model.data_preprocessor(batch, True)
            output = model(**data, mode='loss')
            measured = pulls.measure(model, output, heard, distiller)
            seen = set()
            for name, (_, tap) in distiller.terms.items():
                if name not in measured:
                    continue
                stages = [
                    readings.detach(reading)
                    for _, _, reading in heard.stages[name]
                ]
                reading = stages[0]
                if not pulls.reads_logits(tap):
                    found.others[name].append(measured[name])
                elif tap not in seen:
                    found.logits[tap] += stages
                if not isinstance(reading.teacher, torch.Tensor) and (
                    tap not in seen
                ):
                    maps = [part.float() for part in reading.teacher]
                    found.squares[tap].append(
                        [part.square().mean().item() for part in maps]
                    )
                    found.shapes[tap] = [tuple(x.shape) for x in maps]
                seen.add(tap)
    return found


def pull(loss, student, *rest):
    """Value of a loss, and how strongly it pulls at the logits.

    Args:
        loss (Callable): Returns a scalar.
        student (Tensor): Its first argument, logits (N, C).
        rest (Tensor): Its other arguments.

    Returns:
        tuple[float, float]: The value; the gradient's norm per sample, summed
        over the samples.
    """
    student = student.clone().requires_grad_()
    value = loss(student, *rest)
    (grad,) = torch.autograd.grad(value, student)
    return value.item(), grad.norm(dim=1).sum().item()


def weigh(losses, given, sizes):
    """Values and pulls of losses on random groups of samples.

    Args:
        losses (dict[str, Module]): By name of the term.
        given (Reading): As :func:`readings.read` returns it.
        sizes (list[int]): Numbers N of samples in a group.

    Returns:
        list[tuple]: For each size and loss: N, name, mean value, and the
        mean pull relative to the cross entropy's.
    """
    total = len(given[0])
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(total, generator=generator)
    table = []
    for size in sizes:
        groups = order[: total // size * size].view(-1, size)
        sums = {name: [0.0, 0.0] for name in losses}
        for group in groups:
            student, teacher, labels, weights = (x[group] for x in given)
            _, task = pull(F.cross_entropy, student, labels)
            for name, loss in losses.items():
                value, own = pull(loss, student, teacher, labels, weights)
                sums[name][0] += value / len(groups)
                sums[name][1] += own / task / len(groups)
        table += [(size, name, *found) for name, found in sums.items()]
    return table


def make_table(table):
    """Format the result of :func:`weigh` as a Markdown table."""
    lines = [
        '|     N | ln N | term | value | pull / that of the cross entropy |',
        '|------:|-----:|:-----|------:|--------------------------------:|',
    ]
    lines += [
        f'| {size:5d} | {math.log(size):.2f} | {name} | {value:.4f} '
        f'| {ratio:.4f} |'
        for size, name, value, ratio in table
    ]
    return '\n'.join(lines)


def make_other_table(others):
    """Table of the terms of boxes, features and crossed heads.

    Args:
        others (dict[str, list[Pull]]): As of :func:`gather`.
    """
    lines = ['| term | value | pull | relative to |', '|:--|--:|--:|:--|']
    for name, steps in others.items():
        ratios = [step.ratio for step in steps if step.ratio is not None]
        pull = f'{fmean(ratios):.4f}' if ratios else 'no task loss there'
        value = fmean(step.value for step in steps)
        lines.append(f'| {name} | {value:.4f} | {pull} | {steps[0].what} |')
    return '\n'.join(lines)


def make_square_table(tap, squares, shapes):
    """Table of the mean squares of the teacher's maps, for a tap.

    Args:
        tap (FeatureTap): The tap.
        squares (list[list[float]]): Per batch and map.
        shapes (list[tuple]): Of the maps of the last batch.
    """
    names = tap.levels if getattr(tap, 'levels', None) else range(len(shapes))
    lines = [
        f'Maps of the teacher that {settings_of(tap)} reads:\n',
        '| map | shape | mean square |',
        '|:--|:--|--:|',
    ]
    for name, shape, values in zip(names, shapes, zip(*squares)):
        lines.append(f'| {name} | {shape} | {fmean(values):.4g} |')
    return '\n'.join(lines)


def parse_args():
    parser = readings.build_parser(__doc__.split('\n')[0], batches=8)
    parser.add_argument(
        '--samples',
        type=int,
        nargs='+',
        default=[64, 128, 256, 512, 1024, 2048],
        help='numbers N of samples to compare',
    )
    return parser.parse_args()


def weigh_logits(args, distiller, parts):
    """Tables of the terms of logits, one per tap.

    Args:
        args (argparse.Namespace): The options.
        distiller (Distiller): Has the terms.
        parts (dict): Tap to its readings, as of :func:`gather`.

    Returns:
        list[str]: The tables.

    Raises:
        SystemExit: If there are too few samples.
    """
    tables = []
    for tap in filter(pulls.reads_logits, distiller.taps):
        given = readings.join(parts.get(tap, []), args.batches)
        sizes = [size for size in args.samples if size <= len(given[0])]
        if not sizes:
            raise SystemExit(
                f'error: {args.batches} batches gave {len(given[0])} samples, '
                f'fewer than --samples {min(args.samples)}: take more '
                '--batches or fewer --samples.'
            )
        losses = {
            name: loss.cpu()
            for name, (loss, own) in distiller.terms.items()
            if own is tap
        }
        tables.append(make_table(weigh(losses, given, sizes)))
    return tables


@explain_errors()
def main():
    args = parse_args()
    with readings.connect(args) as (runner, distiller):
        found = gather(runner, distiller, args.batches)
    tables = weigh_logits(args, distiller, found.logits)
    if found.others:
        tables.append(make_other_table(found.others))
    for tap, squares in found.squares.items():
        tables.append(make_square_table(tap, squares, found.shapes[tap]))
    if not tables:
        readings.join([], args.batches)
    print('\n\n'.join(tables))


if __name__ == '__main__':
    main()
