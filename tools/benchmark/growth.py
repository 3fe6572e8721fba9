#!/usr/bin/env python
"""How the cost of a step grows: RoIs, classes, image size, batch, processes.

Starting from one Faster R-CNN whose teacher has four times its channels, each
quantity is varied alone. All values of one quantity are timed in turn, so they
see the same load of the machine; all on noise, with random weights:

* student: MMEngine's step without the distillation hook;
* distilled: the step with it;
* teacher: its bare forward pass on images and RoIs that are ready.

Numbers of processes are measured one after the other, each process with one
thread and its own batch; only student, teacher and distilled alternate there.

For example:
  python tools/benchmark/growth.py --threads 1 --out growth.png
"""

import json
import os
from pathlib import Path

import torch
import torch.multiprocessing
from mmengine.logging import MMLogger
from noise import use_noise
from runs import (
    build_parser,
    run_benchmark,
    start,
    student_alone,
    training_config,
)
from step import bare_forward
from stepping import request_of
from timing import compare, summary

CONFIG = Path(__file__).resolve().parents[2] / 'configs' / 'bccd'
CONFIG = str(CONFIG / 'frcnn_r18w32_r18w8_ckd.py')
POINT = dict(rois=256, classes=20, size=(192, 256), batch=2, processes=1)
AXES = dict(
    rois=[64, 128, 256, 512, 1024],
    classes=[3, 20, 80, 365, 1203],
    size=[(96, 128), (144, 192), (192, 256), (288, 384), (384, 512)],
    batch=[1, 2, 4, 8],
    processes=[1, 2],
)
TITLES = dict(
    rois='RoIs per image',
    classes='classes',
    size='pixels per image',
    batch='images per batch',
    processes='processes',
)
SIDES = ('student', 'teacher', 'distilled')


def parse_args():
    parser = build_parser(__doc__)
    parser.add_argument('--config', default=CONFIG)
    parser.add_argument(
        '--axes', nargs='+', choices=list(AXES), default=list(AXES)
    )
    parser.add_argument(
        '--points', type=int, help='values per axis to measure (default: all)'
    )
    parser.add_argument('--out', type=Path, help='also plot to this file')
    args = parser.parse_args()
    if min(args.rounds, args.points or 1) < 1:
        parser.error('expected numbers of at least 1')
    return args


def prepare(args, folder, point):
    """Build the runs of a point: name to a function that makes a step."""
    folder.mkdir()

    def change(model):
        head = model.roi_head.bbox_head
        head.num_classes = point['classes']
        model.train_cfg.rcnn.sampler.num = point['rois']
        # At least as many proposals as RoIs are to be sampled.
        for cfg in (model.train_cfg.rpn_proposal, model.test_cfg.rpn):
            cfg.nms_pre = cfg.max_per_img = 2000
            cfg.nms.iou_threshold = 1.0

    cfg, _ = training_config(args, folder, change)
    use_noise(cfg, point['size'], point['batch'])
    if point['processes'] > 1:
        cfg.train_dataloader.dataset.length *= point['processes']
        cfg.launcher = 'pytorch'
        if not torch.cuda.is_available():
            cfg.model_wrapper_cfg = dict(
                type='MMDistributedDataParallel', device_ids=None
            )
    student = start(student_alone(cfg), 'student')
    runner = start(cfg, 'distilled')
    request = request_of(runner)
    if request.reading is None:
        raise SystemExit(
            f'error: {args.config} distils features alone, but expected a '
            'loss of logits or boxes, whose RoIs are counted.'
        )
    found = len(request.reading.student)
    wanted = point['rois'] * point['batch']
    if found != wanted:
        raise SystemExit(f'error: expected {wanted} RoIs but got {found}.')
    steps = (
        student.train_loop.step,
        bare_forward(runner, request),
        runner.train_loop.step,
    )
    return dict(zip(SIDES, steps))


def measure_axis(args, folder, axis, values):
    """A row for each value of an axis."""
    points = [dict(POINT, **{axis: value}) for value in values]
    folder = folder / axis
    folder.mkdir()
    variants = {}
    for index, point in enumerate(points):
        steps = prepare(args, folder / str(index), point)
        variants.update({(index, name): steps[name] for name in SIDES})
    times = compare(variants, 1, args.rounds)
    return [
        row_of({name: times[index, name] for name in SIDES}, point)
        for index, point in enumerate(points)
    ]


def row_of(times, point):
    """The row of a point, from the times of its runs."""
    wall = {name: [ms for ms, _ in rounds] for name, rounds in times.items()}
    ratios = [a / b for a, b in zip(wall['distilled'], wall['student'])]
    return dict(
        point,
        milliseconds={name: summary(ms) for name, ms in wall.items()},
        ratio=summary(ratios),
    )


def measure_processes(args, folder, values):
    """A row for each number of processes."""
    rows = []
    for count in values:
        place = folder / f'processes{count}'
        place.mkdir()
        if count == 1:
            work(0, count, args, place)
        else:
            torch.multiprocessing.spawn(
                work, (count, args, place), nprocs=count
            )
        rows.append(json.loads((place / 'row.json').read_text()))
    return rows


def work(rank, count, args, folder):
    """Body of one process; rank 0 writes the row."""
    if count > 1:
        MMLogger.get_instance('benchmark', log_level='WARNING')
        torch.set_num_threads(args.threads or 1)
        os.environ['LOCAL_RANK'] = str(rank)
        backend = 'nccl' if torch.cuda.is_available() else 'gloo'
        torch.distributed.init_process_group(
            backend,
            init_method=f'file://{folder}/store',
            rank=rank,
            world_size=count,
        )
    point = dict(POINT, processes=count)
    steps = prepare(args, folder / f'rank{rank}', point)
    times = compare(steps, 1, args.rounds)
    if rank == 0:
        (folder / 'row.json').write_text(json.dumps(row_of(times, point)))


def value_of(row, axis):
    """Position of a row on its axis, as a number."""
    value = row[axis]
    return value[0] * value[1] if axis == 'size' else value


def draw(path, found):
    """Plot the time of a step along each axis."""
    import matplotlib

    matplotlib.use('Agg')
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        1,
        len(found),
        figsize=(2.6 * len(found) + 0.6, 2.9),
        squeeze=False,
        layout='constrained',
    )
    looks = dict(
        student=dict(color='#555555', marker='s'),
        teacher=dict(color='#d55e00', marker='^'),
        distilled=dict(color='#0072b2', marker='o'),
    )
    for panel, (axis, rows) in zip(axes[0], found.items()):
        x = [value_of(row, axis) for row in rows]
        for name in SIDES:
            spans = [row['milliseconds'][name] for row in rows]
            panel.plot(
                x,
                [span['median'] for span in spans],
                label=name,
                markersize=4,
                **looks[name],
            )
            panel.fill_between(
                x,
                *zip(*(span['quartiles'] for span in spans)),
                color=looks[name]['color'],
                alpha=0.2,
                linewidth=0,
            )
        panel.set_xlabel(TITLES[axis])
        panel.set_ylim(bottom=0)
        if axis == 'processes':
            panel.set_xticks(x)
        else:
            panel.locator_params(axis='x', nbins=4)
        panel.spines[['top', 'right']].set_visible(False)
    axes[0, 0].set_ylabel('ms per step')
    axes[0, 0].legend(frameon=False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def report(found):
    """Print the figures as a Markdown table."""
    print('| | student, ms | teacher, ms | distilled, ms ', end='')
    print('| distilled / student | quartiles |')
    print('|---|--:|--:|--:|--:|--:|')
    for axis, rows in found.items():
        for row in rows:
            value = row[axis]
            if axis == 'size':
                value = ' x '.join(map(str, value))
            ms = [f'{row["milliseconds"][x]["median"]:.1f}' for x in SIDES]
            low, high = row['ratio']['quartiles']
            print(
                f'| {TITLES[axis]}: {value} | {" | ".join(ms)} '
                f'| {row["ratio"]["median"]:.2f} | {low:.2f} to {high:.2f} |'
            )


def measure(args, folder):
    """Measure all axes: name to rows; plot them with --out."""
    found = {}
    for axis in args.axes:
        values = AXES[axis][: args.points]
        if axis == 'processes':
            found[axis] = measure_processes(args, folder, values)
        else:
            found[axis] = measure_axis(args, folder, axis, values)
    if args.out:
        draw(args.out, found)
    return found


def main():
    run_benchmark(parse_args(), measure, report)


if __name__ == '__main__':
    main()
