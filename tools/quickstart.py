#!/usr/bin/env python
"""Train a small detector alone and with a teacher, and show the difference.

Makes the digit scenes, trains `frcnn_r18w8` and `frcnn_r18w24_r18w8_ckd` of
configs/demo side by side through tools/train.py, one CPU thread each, with
equal seed and schedule, evaluates them and their teacher with pycocotools, and
writes into the work directory:

    table.txt    teacher, student, student + CKD: mAP, AP50, AP75, time a step
    scenes.png   validation scenes: ground truth and what each model finds
    curves.png   the terms of the loss, and mAP over epochs

    python tools/quickstart.py --seeds 0 1 2
"""

import argparse
import json
import os
import subprocess
import sys
import time
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
from mmengine.config import Config

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / 'configs' / 'demo'
TEACHER = 'frcnn_r18w24'
WEIGHTS = CONFIGS / 'frcnn_digits_teacher.pth'
# Name in the table to config of what is trained.
RUNS = {'student': 'frcnn_r18w8', 'student + CKD': 'frcnn_r18w24_r18w8_ckd'}
METRICS = ('mAP', 'AP50', 'AP75')
# Detections below it are not drawn. For all three models it is about where
# the harmonic mean of precision and recall is best.
SHOWN_SCORE = 0.7


def launch(tool, config, work_dir, options, *args):
    """Start a tool of this project on one CPU thread.

    Args:
        tool (str): 'train.py' or 'test.py'.
        config (str): Name of a config of configs/demo.
        work_dir (Path): Where its log goes; all it prints goes to output.txt.
        options (dict): Settings of the config to change.
        *args (str): More arguments for the tool.

    Returns:
        subprocess.Popen: The running process.
    """
    work_dir.mkdir(parents=True, exist_ok=True)
    for old in work_dir.glob('*/vis_data/scalars.json'):
        old.unlink()
    command = [sys.executable, str(ROOT / 'tools' / tool)]
    command += [str(CONFIGS / f'{config}.py'), *args]
    command += ['--work-dir', str(work_dir), '--cfg-options']
    options = {
        'val_evaluator.outfile_prefix': work_dir / 'found',
        'test_evaluator.outfile_prefix': work_dir / 'found',
        **options,
    }
    command += [f'{key}={value}' for key, value in options.items()]
    paths = [str(ROOT), os.environ.get('PYTHONPATH')]
    env = {
        **os.environ,
        'PYTHONPATH': os.pathsep.join(filter(None, paths)),
        'PYTHONWARNINGS': 'ignore',
        'OMP_NUM_THREADS': '1',
        'CUDA_VISIBLE_DEVICES': '',
    }
    with open(work_dir / 'output.txt', 'w') as output:
        return subprocess.Popen(
            command, env=env, stdout=output, stderr=subprocess.STDOUT
        )


def check(process, work_dir):
    """Stop with the end of a process's output if it failed."""
    if process.poll() not in (None, 0):
        path = work_dir / 'output.txt'
        tail = '\n'.join(path.read_text().splitlines()[-15:])
        raise SystemExit(
            f'{tail}\n\nA run stopped with exit code {process.returncode}: '
            f'the lines above are the end of {path}.'
        )


def read_log(work_dir):
    """Read the scalars that a run has written so far.

    Args:
        work_dir (Path): Work directory of one run.

    Returns:
        tuple[list[dict], dict[int, float]]: The training records in order,
        and mAP by epoch.
    """
    train, scores = [], {}
    for path in work_dir.glob('*/vis_data/scalars.json'):
        for line in path.read_text().splitlines():
            try:
                record = json.loads(line)
            except ValueError:  # the line that is being written
                continue
            if 'coco/bbox_mAP' in record:
                scores[record['step']] = record['coco/bbox_mAP']
            elif 'loss' in record:
                train.append(record)
    return train, scores


def clock(seconds):
    """Seconds as minutes:seconds."""
    return f'{int(seconds) // 60}:{int(seconds) % 60:02d}'


def watch(processes, work_dirs, epochs):
    """Print one line an epoch until every process has ended.

    Args:
        processes (dict[str, subprocess.Popen]): Runs by name.
        work_dirs (dict[str, Path]): Their work directories.
        epochs (int): Length of the schedule.
    """
    begin, shown, ended = time.monotonic(), 0, False
    print('\n' + ' ' * 19 + ''.join(f'{name:<22}' for name in processes))
    print('  epoch     left   ' + 'task loss    mAP      ' * len(processes))
    while not ended:
        ended = all(p.poll() is not None for p in processes.values())
        logs = {name: read_log(path) for name, path in work_dirs.items()}
        for name, process in processes.items():
            check(process, work_dirs[name])
        # Records come during an epoch, its mAP after it.
        seen = [
            train[-1]['epoch'] if train else 0 for train, _ in logs.values()
        ]
        over = max(seen) if ended else min(seen) - 1
        for epoch in range(shown + 1, over + 1):
            left = (time.monotonic() - begin) / epoch * (epochs - epoch)
            line = f'{epoch:>4}/{epochs}{clock(left):>9}   '
            for train, scores in logs.values():
                record = [r for r in train if r['epoch'] == epoch][-1]
                loss = record['loss'] - record.get('loss_ckd', 0)
                score = f'{scores[epoch]:.3f}' if epoch in scores else ''
                line += f'{loss:9.3f}  {score:>5}      '
            print(line.rstrip(), flush=True)
            shown = epoch
        time.sleep(0.5)


def evaluate(annotations, found):
    """Score a file of detections with pycocotools.

    Args:
        annotations (Path): Ground truth, COCO format.
        found (Path): Detections, COCO's result format.

    Returns:
        dict[str, float]: mAP, AP50 and AP75 in [0, 1]; 0 without detections.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    detections = json.loads(Path(found).read_text())
    if not detections:
        return dict.fromkeys(METRICS, 0.0)
    with redirect_stdout(StringIO()):
        truth = COCO(str(annotations))
        scorer = COCOeval(truth, truth.loadRes(detections), 'bbox')
        scorer.evaluate()
        scorer.accumulate()
        scorer.summarize()
    return dict(zip(METRICS, map(float, scorer.stats[:3])))


def make_table(results):
    """Lay out the results as text.

    Args:
        results (dict[str, list[dict]]): By model, one dict a seed with
            `METRICS` in [0, 1] and, for trained models, `step` in seconds.

    Returns:
        str: A Markdown table; with several seeds the mean and the standard
        deviation of each, and the paired difference of the last model to the
        one before it.
    """

    def cell(values):
        text = f'{np.mean(values):.3f}'
        if len(values) > 1:
            text += f' ± {np.std(values, ddof=1):.3f}'
        return text

    rows = [['', *METRICS, 'time a step']]
    for name, runs in results.items():
        row = [name] + [cell([run[m] for run in runs]) for m in METRICS]
        steps = [run['step'] for run in runs if 'step' in run]
        rows.append(row + [f'{np.mean(steps):.3f} s' if steps else ''])
    (alone, first), (taught, second) = list(results.items())[-2:]
    gain = ['difference']
    for metric in METRICS:
        values = [b[metric] - a[metric] for a, b in zip(first, second)]
        text = f'{np.mean(values):+.3f}'
        if len(values) > 1:
            text += f' ± {np.std(values, ddof=1):.3f}'
        gain.append(text)
    rows.append(gain + [''])
    width = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        '| '
        + ' | '.join(
            [row[0].ljust(width[0])]
            + [text.rjust(w) for text, w in zip(row[1:], width[1:])]
        )
        + ' |'
        for row in rows
    ]
    rule = [':' + '-' * (width[0] + 1)]
    rule += ['-' * (w + 1) + ':' for w in width[1:]]
    return '\n'.join([lines[0], '|' + '|'.join(rule) + '|', *lines[1:]])


def iou(box, boxes):
    """Intersection over union of one box with others, all [x, y, w, h].

    Returns:
        np.ndarray: (M,) for M boxes.
    """
    boxes = np.asarray(boxes, dtype=float).reshape(-1, 4)
    low = np.maximum(box[:2], boxes[:, :2])
    high = np.minimum(np.add(box[:2], box[2:]), boxes[:, :2] + boxes[:, 2:])
    shared = np.clip(high - low, 0, None).prod(1)
    return shared / (box[2] * box[3] + boxes[:, 2:].prod(1) - shared)


def match(truth, detections):
    """Decide which detections are right.

    Args:
        truth (list[dict]): Annotations of one image.
        detections (list[dict]): Detections in it.

    Returns:
        tuple[list[bool], list[bool]]: For every detection, in the order of
        falling score, whether it has the class of an annotation not yet taken
        that it overlaps by IoU >= 0.5; for every annotation, whether taken.
    """
    taken = [False] * len(truth)
    right = []
    for found in sorted(detections, key=lambda d: -d['score']):
        overlap = iou(found['bbox'], [t['bbox'] for t in truth])
        fits = [
            i
            for i in np.argsort(-overlap)
            if overlap[i] >= 0.5
            and not taken[i]
            and truth[i]['category_id'] == found['category_id']
        ]
        right.append(bool(fits))
        if fits:
            taken[fits[0]] = True
    return right, taken


def draw_scenes(path, data, found, num_scenes=4):
    """Picture of validation scenes, what is there and what each model finds.

    The titles count over the whole validation set.

    Args:
        path (Path): The PNG to write.
        data (Path): The data set.
        found (dict[str, Path]): By model, its file of detections.
        num_scenes (int): Scenes, the first of the validation set.
    """
    import matplotlib

    matplotlib.use('Agg')
    import matplotlib.pyplot as plt
    from matplotlib.patches import Patch, Rectangle

    colors = dict(right='#19e36b', wrong='#ff3b30', missed='#ffd60a')
    truth = json.loads((data / 'annotations' / 'val.json').read_text())
    images = truth['images'][:num_scenes]
    digits = {c['id']: c['name'] for c in truth['categories']}
    there = {image['id']: [] for image in truth['images']}
    for item in truth['annotations']:
        there[item['image_id']].append(item)

    figure, axes = plt.subplots(
        len(images),
        len(found) + 1,
        squeeze=False,
        figsize=(3 * (len(found) + 1), 3 * len(images) + 0.8),
    )
    for row, image in zip(axes, images):
        pixels = plt.imread(data / 'val' / image['file_name'])
        for axis in row:
            axis.imshow(pixels, interpolation='nearest')
            axis.set_axis_off()

    def box(axis, item, color, style='-'):
        x, y, w, h = item['bbox']
        axis.add_patch(
            Rectangle(
                (x - 0.5, y - 0.5),
                w,
                h,
                fill=False,
                color=color,
                linestyle=style,
                linewidth=1.5,
            )
        )
        if style == '-':
            axis.text(
                x - 0.5,
                max(y, 7) - 1.5,
                digits[item['category_id']],
                size=8,
                va='bottom',
                clip_on=True,
                bbox=dict(facecolor=color, pad=0.8, edgecolor='none'),
            )

    for axis, image in zip(axes[:, 0], images):
        for item in there[image['id']]:
            box(axis, item, 'white')
    total = len(truth['annotations'])
    axes[0, 0].set_title(f'ground truth\n{total} digits', size=11)

    for column, (name, file) in zip(axes[:, 1:].T, found.items()):
        shown = {image_id: [] for image_id in there}
        for item in json.loads(file.read_text()):
            if item['score'] >= SHOWN_SCORE:
                shown[item['image_id']].append(item)
        num_right = 0
        for image_id, detections in shown.items():
            detections.sort(key=lambda item: -item['score'])
            right, taken = match(there[image_id], detections)
            num_right += sum(right)
            drawn = [i for i, m in enumerate(images) if m['id'] == image_id]
            for axis in column[drawn]:
                for item, hit in zip(there[image_id], taken):
                    if not hit:
                        box(axis, item, colors['missed'], ':')
                for item, good in zip(detections, right):
                    box(axis, item, colors['right' if good else 'wrong'])
        num_wrong = sum(map(len, shown.values())) - num_right
        column[0].set_title(
            f'{name}\n{num_right} right, {num_wrong} wrong', size=11
        )
    figure.legend(
        handles=[
            Patch(color=colors['right'], label='right'),
            Patch(color=colors['wrong'], label='wrong class or place, twice'),
            Patch(color=colors['missed'], label='missed (dotted)'),
        ],
        loc='lower center',
        ncols=3,
        frameon=False,
        fontsize=11,
    )
    figure.tight_layout(rect=(0, 0.3 / figure.get_figheight(), 1, 1))
    figure.savefig(path, dpi=100)
    plt.close(figure)


def draw_curves(path, logs, teacher):
    """Plot of the terms of the loss and of mAP.

    Args:
        path (Path): The PNG to write.
        logs (dict[str, tuple]): By model, what `read_log` gives.
        teacher (float): The teacher's mAP.
    """
    import matplotlib

    matplotlib.use('Agg')
    import matplotlib.pyplot as plt

    colors = dict(zip(logs, ('#7f7f7f', '#0072b2')))
    terms = list(
        dict.fromkeys(
            key
            for train, _ in logs.values()
            for record in train
            for key in record
            if key.startswith('loss_')
        )
    )
    panels = terms + ['mAP on the validation scenes']
    columns = (len(panels) + 1) // 2
    figure, axes = plt.subplots(
        2, columns, figsize=(3.6 * columns, 6), squeeze=False
    )
    for axis, panel in zip(axes.flat, panels):
        for name, (train, scores) in logs.items():
            last = train[-1]
            steps = max(last['iter'] / last['epoch'], 1)
            if panel in terms:
                kept = [r for r in train if panel in r]
                axis.plot(
                    [r['iter'] / steps for r in kept],
                    [r[panel] for r in kept],
                    color=colors[name],
                )
            else:
                axis.plot(
                    list(scores),
                    list(scores.values()),
                    marker='o',
                    color=colors[name],
                    label=name,
                )
        axis.set_title(panel, size=10)
        axis.set_xlabel('epoch')
        axis.grid(alpha=0.3)
        axis.spines[['top', 'right']].set_visible(False)
    scores = axes.flat[len(panels) - 1]
    scores.axhline(teacher, color='#d55e00', linestyle='--', label='teacher')
    scores.set_ylim(bottom=0)
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    figure.legend(
        *scores.get_legend_handles_labels(),
        loc='lower center',
        ncols=len(logs) + 1,
        frameon=False,
        fontsize=11,
    )
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    figure.savefig(path, dpi=110)
    plt.close(figure)


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__.split('\n')[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        '--seeds',
        type=int,
        nargs='+',
        default=[0],
        help='one pair of runs for each',
    )
    parser.add_argument(
        '--work-dir',
        type=Path,
        default=ROOT / 'work_dirs' / 'quickstart',
        help='where logs, weights and pictures go',
    )
    parser.add_argument(
        '--data',
        type=Path,
        default=ROOT / 'data' / 'digits',
        help='where the data set goes',
    )
    parser.add_argument(
        '--epochs',
        type=int,
        help="fewer than the schedule's, to try things out",
    )
    return parser.parse_args()


def main():
    args = parse_args()
    begin = time.monotonic()
    import make_digits  # beside this script

    if not WEIGHTS.is_file():
        raise SystemExit(
            f"The teacher's weights {WEIGHTS} are not there: "
            'make them with tools/train_demo_teacher.sh.'
        )
    print('Makes scenes of handwritten digits ...', flush=True)
    data, work = args.data.resolve(), args.work_dir.resolve()
    for split in ('train', 'val'):
        make_digits.make_split(data, split)
    annotations = data / 'annotations' / 'val.json'
    options = {'data_root': data}

    print('Evaluates the teacher ...', flush=True)
    teacher_dir = work / 'teacher'
    process = launch('test.py', TEACHER, teacher_dir, options, str(WEIGHTS))
    process.wait()
    check(process, teacher_dir)
    found = {'teacher': teacher_dir / 'found.bbox.json'}
    results = {'teacher': [evaluate(annotations, found['teacher'])]}

    epochs = args.epochs
    if epochs is None:
        config = CONFIGS / f'{RUNS["student"]}.py'
        epochs = Config.fromfile(config).train_cfg.max_epochs
    else:
        options['train_cfg.max_epochs'] = epochs
        options['param_scheduler.1.T_max'] = epochs
    for name in RUNS:
        results[name] = []
    for seed in args.seeds:
        print(
            f'\nTrains the student alone and with CKD, seed {seed}, side '
            'by side, a few minutes ...',
            flush=True,
        )
        work_dirs = {
            name: work / f'{config}_seed{seed}'
            for name, config in RUNS.items()
        }
        processes = {}
        try:
            for name, config in RUNS.items():
                processes[name] = launch(
                    'train.py',
                    config,
                    work_dirs[name],
                    {**options, 'randomness.seed': seed},
                )
            watch(processes, work_dirs, epochs)
        finally:
            for process in processes.values():
                process.terminate()
        logs = {}
        for name, path in work_dirs.items():
            logs[name] = read_log(path)
            found[name] = path / 'found.bbox.json'
            steps = [record['time'] for record in logs[name][0]]
            results[name].append(
                dict(
                    evaluate(annotations, found[name]),
                    step=float(np.median(steps)),
                )
            )
        if seed == args.seeds[0]:
            draw_scenes(work / 'scenes.png', data, found)
            draw_curves(
                work / 'curves.png', logs, results['teacher'][0]['mAP']
            )
    table = make_table(results)
    (work / 'table.txt').write_text(table + '\n')
    (work / 'results.json').write_text(
        json.dumps(dict(seeds=args.seeds, results=results), indent=1)
    )
    print(
        f'\n{table}\n\nTook {clock(time.monotonic() - begin)} minutes. '
        f'Pictures: {work}/scenes.png and curves.png',
        flush=True,
    )


if __name__ == '__main__':
    main()
