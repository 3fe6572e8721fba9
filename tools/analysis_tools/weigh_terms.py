#!/usr/bin/env python
"""How strongly each distillation term pulls, relative to the cross entropy.

Without training, runs student and teacher of a config over some batches and
takes, for several numbers N of samples (images or RoIs), the gradient of each
term and of the cross entropy with respect to the student's logits. The pull of
a loss is the norm of that gradient per sample, summed over the samples: the
loss is a mean over the samples, so its pull does not grow with N by itself. A
term whose pull is 1 times that of the cross entropy moves the logits as much.

    python tools/analysis_tools/weigh_terms.py CONFIG --student STUDENT.pth

The pull depends on the student, by default one before its training, and
changes during training: a pull of 1 does not make a weight the right one.
"""

import math

import readings
import torch
from torch.nn import functional as F

from mmkd_plugin.cli.errors import explain_errors


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


@explain_errors()
def main():
    args = parse_args()
    _, distiller, given = readings.collect(args)
    sizes = [size for size in args.samples if size <= len(given[0])]
    if not sizes:
        raise SystemExit(
            f'error: {args.batches} batches gave {len(given[0])} samples, '
            f'fewer than --samples {min(args.samples)}: take more --batches '
            'or fewer --samples.'
        )
    print(make_table(weigh(distiller.losses, given, sizes)))


if __name__ == '__main__':
    main()
