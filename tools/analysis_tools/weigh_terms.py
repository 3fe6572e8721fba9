#!/usr/bin/env python
"""How strongly each distillation term pulls, beside the cross entropy.

Without training, runs student and teacher of a config over some batches and
takes, at several numbers of rows N (images or RoIs), the gradient that each
term and the cross entropy send to the student's logits. The pull of a loss is
the sum over rows of the length of that gradient: the mean over the rows is
part of the loss, so that it does not grow with N by itself. A term of pull 1
moves the logits as much as the cross entropy does.

    python tools/analysis_tools/weigh_terms.py CONFIG --student STUDENT.pth

Pulls are those of this student; without --student, of one before its
training. At another time it can have others: a weight is not right because
its pull is 1.
"""

import math

import readings
import torch
from torch.nn import functional as F

from mmkd_plugin.cli.errors import explain_errors


def pull(loss, student, *rest):
    """Value of a loss, and how strongly it pulls at the logits.

    Args:
        loss (Callable): Logits (N, C), and what else it takes, to a scalar.
        student (Tensor): The logits.
        rest (Tensor): What else it takes.

    Returns:
        tuple[float, float]: The value; the sum over rows of the length of
        the gradient.
    """
    student = student.clone().requires_grad_()
    value = loss(student, *rest)
    (grad,) = torch.autograd.grad(value, student)
    return value.item(), grad.norm(dim=1).sum().item()


def weigh(losses, given, sizes):
    """Values and pulls of losses on random groups of rows.

    Args:
        losses (dict[str, Module]): By name of the term.
        given (Reading): As :func:`readings.read` gives it.
        sizes (list[int]): Numbers N of rows in a group.

    Returns:
        list[tuple]: For each size and loss: N, name, mean value, and the
        mean pull as a share of the cross entropy's.
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
    """Lay out the result of :func:`weigh` as Markdown."""
    lines = [
        '|     N | ln N | term | value | pull / that of the cross entropy |',
        '|------:|-----:|:-----|------:|--------------------------------:|',
    ]
    lines += [
        f'| {size:5d} | {math.log(size):.2f} | {name} | {value:.4f} '
        f'| {share:.4f} |'
        for size, name, value, share in table
    ]
    return '\n'.join(lines)


def parse_args():
    parser = readings.build_parser(__doc__.split('\n')[0], batches=8)
    parser.add_argument(
        '--rows',
        type=int,
        nargs='+',
        default=[64, 128, 256, 512, 1024, 2048],
        help='numbers of rows N to compare',
    )
    return parser.parse_args()


@explain_errors()
def main():
    args = parse_args()
    _, distiller, given = readings.collect(args)
    sizes = [size for size in args.rows if size <= len(given[0])]
    if not sizes:
        raise SystemExit(
            f'error: {args.batches} batches gave {len(given[0])} rows, fewer '
            f'than --rows {min(args.rows)}: take more --batches or fewer '
            '--rows.'
        )
    print(make_table(weigh(distiller.losses, given, sizes)))


if __name__ == '__main__':
    main()
