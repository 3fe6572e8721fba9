#!/usr/bin/env python
"""Time and memory of the losses, compared with naive implementations.

Measures a forward and a backward pass of each loss and of its formula in
plain PyTorch, interleaved in one process, and the peak memory of each on top
of the logits and the labels, including the student's gradient. Both compute in
float32, whatever the dtype of the logits, and must agree. Shown are medians
with quartiles; cases that take minutes have three rounds.

On a machine under other load, trust the ratios only.

For example:
  python tools/benchmark/losses.py --threads 1
  python tools/benchmark/losses.py --cases RLD/1024x81 CKD/4096x1204 --compile
"""

import argparse
import json
import statistics
import time
from functools import partial
from typing import NamedTuple

import naive_losses
import torch
from peak_memory import peak_memory
from timing import quartiles, synchronize

from mmkd_plugin import losses

NUMBERS = {
    'KD': dict(tau=4.0),
    'DKD': dict(alpha=1.0, beta=8.0, tau=4.0),
    'RLD': dict(alpha=1.0, beta=8.0, tau_scd=1.0, tau_mcd=4.0),
    'CKD': dict(tau=1.0),
    'SWAP': dict(tau=4.0),
    'RC': dict(beta=0.1, tau=4.0),
    'REVISION': dict(alpha=4.0, beta=0.8),
    'MLKD': dict(taus=[2.0, 3.0, 4.0, 5.0, 6.0]),
    'RKD': dict(distance_weight=25.0, angle_weight=50.0),
    'CC': dict(gamma=0.4),
    'AT': dict(),
    'SP': dict(),
    'CATKD': dict(size=2, normalize=True),
    'WKDL': dict(
        gamma=600.0,
        tau=8.0,
        reg=0.05,
        iterations=10,
        sharpness=1.0,
        distances='equal',
    ),
    'FitNet': dict(regressor='conv_bn_relu'),
    'VID': dict(),
    'OFD': dict(),
}
# Losses with layers of their own, which the naive ones use too.
TRAINED = ('FitNet', 'VID', 'OFD')
# What a loss compares -> shapes: samples and classes, numbers of a vector, or
# channels and side of a map.
SHAPES = {
    'logits': ['64x100', '512x1000', '1024x81', '4096x1204', '1024x21841'],
    'vectors': ['64x64', '64x256', '256x512'],
    'margins': ['64x128x16', '64x256x8'],
    'features': ['64x64x8', '64x256x8', '128x512x7'],
    'class_maps': ['64x100x8', '64x1000x7'],
}


def kind_of(name):
    """What a loss compares."""
    return getattr(getattr(losses, f'{name}Loss'), 'kind', 'logits')


CASES = [
    f'{name}/{shape}' for name in NUMBERS for shape in SHAPES[kind_of(name)]
]
CASES += [f'CKD/{1024 << power}x1000' for power in range(6)]
# N x N matrices that the naive CKD holds at once.
NAIVE_MATRICES = 3
SIDES = ['ours', 'naive']
SECONDS = 0.02  # per turn, at least
# Seconds per case, after which it gets no more than FEWEST_ROUNDS.
PATIENCE = 60.0
FEWEST_ROUNDS = 3


class Case(NamedTuple):
    """A loss, and the shape of what it compares.

    Attributes:
        loss: Name of the loss.
        size: (N, C) of logits, (N, D) of vectors, (N, C, side) of maps.
    """

    loss: str
    size: tuple[int, ...]

    def __str__(self):
        return f'{self.loss}/{"x".join(map(str, self.size))}'


def case(text):
    """A case from ``LOSS/NxC``, or ``LOSS/NxCxSIDE`` for maps."""
    name, _, shape = text.partition('/')
    size = shape.split('x')
    if (
        name not in NUMBERS
        or not all(part.isdigit() for part in size)
        or len(size) != SHAPES[kind_of(name)][0].count('x') + 1
    ):
        raise argparse.ArgumentTypeError(
            f'expected LOSS/NxC with LOSS one of {", ".join(NUMBERS)}, as '
            f'RLD/1024x81, and LOSS/NxCxSIDE for maps, as AT/64x64x8, but got '
            f'{text!r}'
        )
    return Case(name, tuple(map(int, size)))


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        '--cases',
        nargs='+',
        type=case,
        default=[case(x) for x in CASES],
        metavar='LOSS/NxC[xSIDE]',
    )
    parser.add_argument(
        '--dtype',
        nargs='+',
        choices=['float32', 'bfloat16'],
        default=['float32', 'bfloat16'],
        help='of the logits',
    )
    parser.add_argument('--compile', action='store_true', help='both sides')
    parser.add_argument('--rounds', type=int, default=15)
    parser.add_argument('--threads', type=int, help="torch's own by default")
    parser.add_argument(
        '--memory-limit',
        type=float,
        default=4.0,
        metavar='GIB',
        help='do not run the naive CKD if it would need more',
    )
    parser.add_argument('--json', metavar='OUT', help='also write a file')
    args = parser.parse_args()
    if args.rounds < 1:
        parser.error('--rounds must be at least 1')
    return args


def draw(case, dtype, device):
    """What student and teacher give, and labels; such logits fit mostly."""
    generator = torch.Generator().manual_seed(0)
    samples, columns, *side = case.size
    labels = torch.randint(columns, (samples,), generator=generator)
    kind = kind_of(case.loss)
    batch = []
    for _ in range(2):
        part = torch.randn(samples, columns, *2 * side, generator=generator)
        if kind == 'logits':
            part[torch.arange(samples), labels] += 4
        batch.append(part.to(device, dtype))
    batch[0].requires_grad_()
    if kind in ('features', 'margins'):
        batch = [(part,) for part in batch]
    return *batch, labels.to(device)


def sides(case, compiled):
    """The loss of the package and the naive one, by name."""
    numbers = dict(NUMBERS[case.loss])
    naive = partial(getattr(naive_losses, case.loss.lower()), **numbers)
    if case.loss in TRAINED:
        channels = [case.size[1]]
        numbers.update(student_channels=channels, teacher_channels=channels)
    loss = getattr(losses, f'{case.loss}Loss')
    ours = loss(**numbers, loss_weight=1.0)
    if case.loss in TRAINED:
        naive = partial(getattr(naive_losses, case.loss.lower()), loss=ours)
    both = dict(zip(SIDES, (ours, naive)))
    if compiled:
        torch.compiler.reset()
        both = {name: torch.compile(loss) for name, loss in both.items()}
    return both


def leaf(batch):
    """The student's tensor of a batch."""
    (own,) = batch[0] if isinstance(batch[0], tuple) else batch[:1]
    return own


def step(loss, batch):
    """One forward and backward pass: value and gradient."""
    value = loss(*batch)
    (gradient,) = torch.autograd.grad(value, leaf(batch))
    return value.detach(), gradient


def clocks():
    """Wall-clock and CPU time, in seconds."""
    synchronize()
    return time.perf_counter(), time.process_time()


def times(steps, rounds):
    """Time the steps of both sides in turn.

    Returns:
        dict: Name to one pair per round, wall-clock and CPU seconds.
    """
    repeats = {}
    for name, run in steps.items():
        begin, _ = clocks()
        run()
        end, _ = clocks()
        repeats[name] = max(1, int(SECONDS / (end - begin)))
    found = {name: [] for name in steps}
    end_of_patience = time.perf_counter() + PATIENCE
    for turn in range(rounds):
        if turn >= FEWEST_ROUNDS and time.perf_counter() > end_of_patience:
            break
        for name in list(steps)[:: 1 if turn % 2 else -1]:
            begin = clocks()
            for _ in range(repeats[name]):
                steps[name]()
            end = clocks()
            found[name].append(
                [(b - a) / repeats[name] for a, b in zip(begin, end)]
            )
    return found


def measure(case, dtype, args):
    """A row of the table."""
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    batch = draw(case, getattr(torch, dtype), device)
    steps = {
        name: partial(step, loss, batch)
        for name, loss in sides(case, args.compile).items()
    }
    needed = NAIVE_MATRICES * 4 * case.size[0] ** 2
    if case.loss == 'CKD' and needed > args.memory_limit * 2**30:
        del steps['naive']
    results = [run() for run in steps.values()]
    if len(results) == 2:
        torch.testing.assert_close(*results, rtol=1e-2, atol=1e-6)
    del results
    row = dict(case=str(case), dtype=dtype, compiled=args.compile)
    row['bytes'] = {name: peak_memory(run) for name, run in steps.items()}
    row['seconds'] = times(steps, args.rounds)
    if device == 'cuda':
        # Both logits are read and a gradient is written, once at least.
        seconds = statistics.median(wall for wall, _ in row['seconds']['ours'])
        row['bandwidth'] = 3 * leaf(batch).nbytes / seconds
    return row


def spread(values):
    """Median and quartiles of a list."""
    low, high = quartiles(values)
    return f'{statistics.median(values):.2f} ({low:.2f} to {high:.2f})'


def line(row):
    """A row in Markdown."""
    cells = [row['case'], row['dtype']]
    ours, naive = (row['seconds'].get(side) for side in SIDES)
    cells.append(spread([1e3 * wall for wall, _ in ours]))
    if naive:
        cells.append(spread([1e3 * wall for wall, _ in naive]))
        for clock in range(2):
            pairs = zip(ours, naive)
            cells.append(spread([a[clock] / b[clock] for a, b in pairs]))
    else:
        cells += ['not run', '', '']
    ours, naive = (row['bytes'].get(side) for side in SIDES)
    cells.append(f'{ours / 2**20:.1f}')
    if naive:
        cells += [f'{naive / 2**20:.1f}', f'{ours / naive:.2f}']
    else:
        cells += ['not run', '']
    if 'bandwidth' in row:
        cells.append(f'{row["bandwidth"] / 1e9:.0f}')
    return f'| {" | ".join(cells)} |'


def main():
    args = parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    columns = ['loss/N x C', 'logits', 'ms', 'naive ms', 'ratio']
    columns += ['ratio of CPU', 'MiB', 'naive MiB', 'ratio']
    if torch.cuda.is_available():
        columns.append('GB/s of the least traffic')
    print(f'| {" | ".join(columns)} |')
    print('|---|---|' + '--:|' * (len(columns) - 2))
    rows = []
    for dtype in args.dtype:
        for each in args.cases:
            rows.append(measure(each, dtype, args))
            print(line(rows[-1]), flush=True)
    if args.json:
        with open(args.json, 'w') as file:
            json.dump(rows, file, indent=1)


if __name__ == '__main__':
    main()
