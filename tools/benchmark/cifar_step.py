#!/usr/bin/env python
"""Where the time of a distillation step on CIFAR-100 goes.

Compares, in one process and by turns:

* floor: a bare loop with the student, the frozen teacher, their losses and
  the optimizer, on one batch that is ready;
* plugin: a runner of the config, as tools/train.py makes it;
* per image: the same with MMPretrain's CIFAR100 and its pipeline, which
  handles images one by one;
* per image, stock: that without ExactResumeHook, which seeds every image.

Then takes the plugin's step apart.  Without weights of the teacher it gets
random ones, since only time counts.  On a machine that others use too, trust
the ratios only.  On a GPU the parts are times of the host, which waits where
a value is read.

For example, with CIFAR-100 in data/cifar100/:
  python tools/benchmark/cifar_step.py --tiny
"""

import argparse
import contextlib
import copy
import signal
import statistics
import tempfile
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from mmengine.config import DictAction
from mmengine.logging import MMLogger
from mmengine.registry import DATASETS, MODELS, init_default_scope
from mmengine.runner import Runner
from mmpretrain.datasets import CIFAR100
from step_parts import distill_hook, take_apart
from timing import quartiles, synchronize

from mmkd_plugin import ExactResumeHook
from mmkd_plugin.datasets.cifar100_files import read_cifar100
from mmkd_plugin.errors import explain_errors
from mmkd_plugin.launch import load_config
from mmkd_plugin.teacher import load_config as load_teacher_config

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'configs' / 'cifar100' / 'resnet56_resnet20_rld.py'
# MMPretrain's own, of its configs for CIFAR-100.
PIPELINE = [
    dict(type='RandomCrop', crop_size=32, padding=4),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]


@DATASETS.register_module()
class PerImageCIFAR100(CIFAR100):
    """MMPretrain's CIFAR100, from any form of the data."""

    def load_data_list(self):
        root = self.data_prefix['root']
        images, labels, classes = read_cifar100(root, self.split)
        self._metainfo['classes'] = classes
        images = images.transpose(0, 2, 3, 1)
        return [
            dict(img=image, gt_label=int(label))
            for image, label in zip(images, labels)
        ]


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('config', nargs='?', default=str(CONFIG))
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, default={}
    )
    parser.add_argument('--steps', type=int, default=20, help='of a round')
    parser.add_argument('--rounds', type=int, default=15)
    parser.add_argument('--threads', type=int, help="torch's own by default")
    parser.add_argument(
        '--workers',
        type=int,
        default=0,
        help='that load images where they are handled one by one',
    )
    parser.add_argument(
        '--tiny',
        action='store_true',
        help='networks that take next to no time, so that the rest is seen',
    )
    parser.set_defaults(launcher='none', local_rank=0, work_dir=None)
    args = parser.parse_args()
    if args.steps < 1 or args.rounds < 1:
        parser.error('--steps and --rounds must be at least 1')
    return args


def shrink(model):
    """Replace the networks of the config of a model by a minimal one."""
    model.backbone = dict(type='CIFARResNet', depth=8, channels=(4, 4, 4, 4))
    model.head.in_channels = 4


def prepare(args, folder):
    """Config of the run, with weights of the teacher that are there."""
    args.work_dir = str(folder)
    cfg = load_config(args)
    init_default_scope(cfg.default_scope)
    for split in ('val', 'test'):
        for key in ('cfg', 'dataloader', 'evaluator'):
            cfg[f'{split}_{key}'] = None
    hooks = [hook for hook in cfg.get('custom_hooks', []) if 'teacher' in hook]
    if len(hooks) != 1 or not isinstance(hooks[0].teacher, dict):
        raise ValueError(
            f'Expected {args.config} to have one distillation hook with one '
            'teacher: give the config of such a run.'
        )
    hooks[0].update(warmup=0, begin=0)  # the terms count from the first step
    teacher = hooks[0].teacher
    teacher_cfg = load_teacher_config(teacher.config)
    if args.tiny:
        shrink(cfg.model)
        shrink(teacher_cfg.model)
    if args.tiny or not Path(teacher.checkpoint).is_file():
        model = build(teacher_cfg)
        teacher.checkpoint = str(folder / 'teacher.pth')
        torch.save(dict(state_dict=model.state_dict()), teacher.checkpoint)
    teacher.config = teacher_cfg.to_dict()
    cfg.train_cfg = dict(
        type='SteppedLoop', max_epochs=cfg.train_cfg.max_epochs
    )
    cfg.log_level = 'ERROR'
    return cfg


def build(cfg):
    """The model of a config, with random weights."""
    model = MODELS.build(
        {'data_preprocessor': cfg.data_preprocessor, **cfg.model}
    )
    model.init_weights()
    return model


def per_image(cfg, workers):
    """The same config with MMPretrain's data set and pipeline."""
    cfg = copy.deepcopy(cfg)
    loader = cfg.train_dataloader
    loader.pop('collate_fn')
    loader.dataset = dict(
        type='PerImageCIFAR100',
        data_root=loader.dataset.data_root,
        split='train',
        pipeline=PIPELINE,
    )
    loader.update(num_workers=workers, persistent_workers=workers > 0)
    return cfg


def start(cfg, name, exact_resume=True):
    """A runner that is ready for its first step."""
    cfg = copy.deepcopy(cfg)
    cfg.experiment_name = name
    cfg.work_dir = str(Path(cfg.work_dir, name))
    runner = Runner.from_cfg(cfg)
    if exact_resume:
        runner.register_hook(ExactResumeHook())
    runner.train()
    return runner


def bare_step(cfg, runner):
    """The floor: a function that makes one step."""
    hook = distill_hook(runner)
    teacher = hook.teachers[0].model
    device = next(runner.model.parameters()).device
    student = build(cfg).to(device).train()
    optimizer = dict(cfg.optim_wrapper.optimizer)
    optimizer = getattr(torch.optim, optimizer.pop('type'))(
        student.parameters(), **optimizer
    )
    loader = runner.train_dataloader
    rows = list(range(loader.batch_sampler.batch_size))
    batch = student.data_preprocessor(loader.dataset.__getitems__(rows), True)
    images = batch['inputs']
    labels = torch.cat([s.gt_label for s in batch['data_samples']])

    def step():
        logits = student(images, mode='tensor')
        with torch.no_grad():
            taught = teacher(images, mode='tensor')
        loss = F.cross_entropy(logits, labels)
        for term in hook.losses.values():
            loss = loss + term(logits, taught, labels, None)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def compare(variants, steps, rounds):
    """Time the variants by turns.

    Returns:
        dict: Name to ``rounds`` pairs of milliseconds a step, of the clock
        and of the processor.
    """
    times = {name: [] for name in variants}
    names = list(variants)
    for turn in range(-1, rounds):  # the first one is not counted
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            synchronize()
            begin = time.perf_counter(), time.process_time()
            for _ in range(steps):
                variants[name]()
            synchronize()
            end = time.perf_counter(), time.process_time()
            if turn >= 0:
                times[name].append(
                    [1e3 * (b - a) / steps for a, b in zip(begin, end)]
                )
    return times


def report(times, parts):
    """Print both tables, in Markdown."""
    floor = times['floor']
    print('| | steps/s | ms a step | quartiles | CPU ms ', end='')
    print('| ratio to the floor | quartiles | ratio of CPU |')
    print('|---|--:|--:|--:|--:|--:|--:|--:|')
    for name, rounds in times.items():
        wall, cpu = zip(*rounds)
        ratios = [a[0] / b[0] for a, b in zip(rounds, floor)]
        cpu_ratios = [a[1] / b[1] for a, b in zip(rounds, floor)]
        middle = statistics.median(wall)
        low, high = quartiles(list(wall))
        near, far = quartiles(ratios)
        print(
            f'| {name} | {1e3 / middle:.2f} | {middle:.2f} '
            f'| {low:.2f} to {high:.2f} | {statistics.median(cpu):.2f} '
            f'| {statistics.median(ratios):.3f} | {near:.3f} to {far:.3f} '
            f'| {statistics.median(cpu_ratios):.3f} |'
        )
    whole = sum(parts.values())
    print('\n| part of the step of the plugin | ms | share |')
    print('|---|--:|--:|')
    for name in sorted(parts, key=parts.get, reverse=True):
        print(f'| {name} | {parts[name]:.3f} | {parts[name] / whole:.1%} |')
    print(f'| sum | {whole:.3f} | 100.0% |')


@explain_errors()
def main():
    args = parse_args()
    MMLogger.get_instance('cifar_step', log_level='WARNING')
    if args.threads:
        torch.set_num_threads(args.threads)
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.ExitStack() as after,
    ):
        # ExactResumeHook takes it, and is never told that training ends.
        after.callback(
            signal.signal, signal.SIGTERM, signal.getsignal(signal.SIGTERM)
        )
        cfg = prepare(args, Path(folder))
        loop_cfg = per_image(cfg, args.workers)
        runner = start(cfg, 'plugin')
        variants = {
            'floor': bare_step(cfg, runner),
            'plugin': runner.train_loop.step,
            'per image': start(loop_cfg, 'images').train_loop.step,
            'per image, stock': start(
                loop_cfg, 'stock', exact_resume=False
            ).train_loop.step,
        }
        times = compare(variants, args.steps, args.rounds)
        parts = take_apart(runner, args.steps * args.rounds)
    report(times, parts)


if __name__ == '__main__':
    main()
