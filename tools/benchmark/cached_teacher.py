#!/usr/bin/env python
"""What a step costs with a cached teacher, beside one without a teacher.

Compares, interleaved in one process, runners of a config for CIFAR-100 as
tools/train.py builds them:

* student alone: without the distillation hook;
* online teacher: as the config says;
* filling: with a cache that is empty at first, so hardly a row is found;
* full cache: with a cache that has all rows, and no teacher in memory.

A teacher whose checkpoint is missing gets random weights, and the full cache
made-up logits, since only time counts.  The cache is of full size, 3.27 GB
with the padding of 4 pixels; it is made in --folder and removed.  On a machine
under other load, trust the ratios only.

For example, with CIFAR-100 in data/cifar100/:
  python tools/benchmark/cached_teacher.py --threads 1
"""

import json
import statistics
import tempfile
from pathlib import Path

import numpy as np
from runs import (
    build_parser,
    start,
    student_alone,
    training_config,
    work_folder,
)
from stepping import distill_hook
from timing import compare, quartiles

from mmkd_plugin import ExactResumeHook
from mmkd_plugin.cli.errors import explain_errors

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'configs' / 'cifar100' / 'resnet56_resnet20.py'
ALONE = 'student alone'
# Rows that are made up at a time.
CHUNK = 100_000


def parse_args():
    parser = build_parser(__doc__)
    parser.add_argument('config', nargs='?', default=str(CONFIG))
    parser.add_argument('--steps', type=int, default=10, help='per round')
    parser.add_argument(
        '--folder', help='where the caches are made; by default in /tmp'
    )
    args = parser.parse_args()
    if args.steps < 1 or args.rounds < 1:
        parser.error('--steps and --rounds must be at least 1')
    return args


def with_cache(cfg, hook, folder, name):
    """A runner whose teacher has a cache, which is empty."""
    hook.teacher.cache = str(Path(folder, name))
    runner = start(cfg, name, ExactResumeHook())
    (cached,) = distill_hook(runner).distiller.cached
    return runner, cached


def fill(cached):
    """Give a cache made-up logits, and free the teacher."""
    logits = np.random.default_rng(0).normal(
        size=(CHUNK, cached.store.read(np.zeros(1, int))[0].shape[1])
    )
    for begin in range(0, len(cached.store), CHUNK):
        rows = np.arange(begin, min(begin + CHUNK, len(cached.store)))
        cached.store.write(rows, logits[: len(rows)])
    cached.teacher.release()


def measure(args, folder):
    """Times of the steps of each variant, see `timing.compare`."""
    cfg, hook = training_config(args, folder)
    with tempfile.TemporaryDirectory(dir=args.folder) as caches:
        filling, _ = with_cache(cfg, hook, caches, 'filling')
        full, cached = with_cache(cfg, hook, caches, 'full')
        fill(cached)
        del hook.teacher['cache']
        online = start(cfg, 'online', ExactResumeHook())
        alone = start(student_alone(cfg), 'alone', ExactResumeHook())
        variants = {
            ALONE: alone.train_loop.step,
            'online teacher': online.train_loop.step,
            'filling': filling.train_loop.step,
            'full cache': full.train_loop.step,
        }
        return compare(variants, args.steps, args.rounds)


def report(times):
    """Print a table in Markdown."""
    print('| | ms per step | quartiles | CPU ms ', end='')
    print('| ratio to the student alone | quartiles | ratio of CPU |')
    print('|---|--:|--:|--:|--:|--:|--:|')
    for name, rounds in times.items():
        wall, cpu = zip(*rounds)
        ratios, cpu_ratios = (
            [a[i] / b[i] for a, b in zip(rounds, times[ALONE])] for i in (0, 1)
        )
        low, high = quartiles(list(wall))
        near, far = quartiles(ratios)
        print(
            f'| {name} | {statistics.median(wall):.2f} '
            f'| {low:.2f} to {high:.2f} | {statistics.median(cpu):.2f} '
            f'| {statistics.median(ratios):.3f} | {near:.3f} to {far:.3f} '
            f'| {statistics.median(cpu_ratios):.3f} |'
        )


@explain_errors()
def main():
    args = parse_args()
    with work_folder(args.threads) as folder:
        times = measure(args, folder)
    report(times)
    if args.json:
        args.json.write_text(json.dumps(dict(times=times), indent=2) + '\n')


if __name__ == '__main__':
    main()
