#!/usr/bin/env python
"""Where the time of a distillation step on CIFAR-100 goes.

Compares, interleaved in one process:

* floor: a bare loop with the student, the frozen teacher, their losses and
  the optimizer, on one batch that is ready;
* plugin: a runner of the config, as tools/train.py builds it;
* per image: the same with MMPretrain's CIFAR100 and its pipeline, which
  handles images one by one;
* per image, stock: that without ExactResumeHook, which seeds every image.

Then the parts of the plugin's step are timed.  A teacher whose checkpoint is
missing gets random weights, since only time counts.  On a machine under other
load, trust the ratios only.  On a GPU, the parts are times of the host, which
waits where a value is read.

For example, with CIFAR-100 in data/cifar100/, and for another method:
  python tools/benchmark/cifar_step.py --tiny
  python tools/benchmark/cifar_step.py --cfg-options method=reviewkd
"""

import copy
import json
import statistics
from pathlib import Path

from bare_step import bare_step
from mmengine.registry import DATASETS
from mmpretrain.datasets import CIFAR100
from runs import build_parser, start, training_config, work_folder
from stepping import print_parts, time_parts
from timing import compare, quartiles

from mmkd_plugin import ExactResumeHook
from mmkd_plugin.cli.errors import explain_errors
from mmkd_plugin.datasets.cifar100_files import read_cifar100

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'configs' / 'cifar100' / 'resnet56_resnet20.py'
# MMPretrain's own, of its configs for CIFAR-100.
PIPELINE = [
    dict(type='RandomCrop', crop_size=32, padding=4),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]


@DATASETS.register_module()
class PerImageCIFAR100(CIFAR100):
    """MMPretrain's CIFAR100, from the archive or the unpacked files."""

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
    parser = build_parser(__doc__)
    parser.add_argument('config', nargs='?', default=str(CONFIG))
    parser.add_argument('--steps', type=int, default=20, help='per round')
    parser.add_argument(
        '--workers',
        type=int,
        default=0,
        help='loading workers of the runs that handle images one by one',
    )
    parser.add_argument(
        '--tiny',
        action='store_true',
        help='networks that take next to no time, to show the other costs',
    )
    args = parser.parse_args()
    if args.steps < 1 or args.rounds < 1:
        parser.error('--steps and --rounds must be at least 1')
    return args


def shrink(model):
    """Replace the backbone in a model config by a minimal one."""
    model.backbone = dict(type='CIFARResNet', depth=8, channels=(4, 4, 4, 4))
    model.head.in_channels = 4


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


def report(times, parts):
    """Print both tables, in Markdown."""
    floor = times['floor']
    print('| | steps/s | ms per step | quartiles | CPU ms ', end='')
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
    print()
    print_parts(parts)


@explain_errors()
def main():
    args = parse_args()
    with work_folder(args.threads) as folder:
        cfg, _ = training_config(args, folder, shrink if args.tiny else None)
        loop_cfg = per_image(cfg, args.workers)
        runner = start(cfg, 'plugin', ExactResumeHook())
        images = start(loop_cfg, 'images', ExactResumeHook())
        variants = {
            'floor': bare_step(cfg, runner),
            'plugin': runner.train_loop.step,
            'per image': images.train_loop.step,
            'per image, stock': start(loop_cfg, 'stock').train_loop.step,
        }
        times = compare(variants, args.steps, args.rounds)
        parts = time_parts(runner, args.steps * args.rounds)
    report(times, parts)
    if args.json:
        found = dict(times=times, parts=parts)
        args.json.write_text(json.dumps(found, indent=2) + '\n')


if __name__ == '__main__':
    main()
