#!/usr/bin/env python
"""Train a small detector alone and with a teacher, and show the difference.

Makes the digit scenes, trains `frcnn_r18w8` and `frcnn_r18w24_r18w8_ckd` of
configs/demo side by side through tools/train.py, one CPU thread each, with
the same seed and schedule, evaluates them and their teacher with pycocotools,
and writes into the work directory:

    table.txt    teacher, student, student + CKD: mAP, AP50, AP75, step time
    scenes.png   validation scenes: ground truth and each model's detections
    curves.png   mAP, CKD's loss, and agreement with the teacher by epoch

    python tools/quickstart/quickstart.py --seeds 0 1 2
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from mmengine.config import Config
from quickstart_pictures import draw_scenes

from mmkd_plugin.cli.errors import explain_errors
from mmkd_plugin.exceptions import MMKDFileNotFoundError
from mmkd_plugin.reports.curves import draw
from mmkd_plugin.reports.detections import METRICS, evaluate
from mmkd_plugin.reports.run_log import read_records, series
from mmkd_plugin.reports.tables import make_table

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / 'configs' / 'demo'
TEACHER = 'frcnn_r18w24'
WEIGHTS = CONFIGS / 'frcnn_digits_teacher.pth'
# Name in the table to config of what is trained.
RUNS = {'student': 'frcnn_r18w8', 'student + CKD': 'frcnn_r18w24_r18w8_ckd'}
METRIC, TERM = 'coco/bbox_mAP', 'loss_ckd'


def launch(tool, config, work_dir, options, *args):
    """Start a tool of this project on one CPU thread.

    Args:
        tool (str): 'train.py' or 'test.py'.
        config (str): Name of a config of configs/demo.
        work_dir (Path): Where its logs go; its output goes to output.txt.
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
    """Exit with the last lines of a process's output if it failed."""
    if process.poll() not in (None, 0):
        path = work_dir / 'output.txt'
        tail = '\n'.join(path.read_text().splitlines()[-15:])
        raise SystemExit(
            f'{tail}\n\nerror: A run stopped with exit code '
            f'{process.returncode}: the lines above are the end of {path}.'
        )


def clock(seconds):
    """Seconds as minutes:seconds."""
    return f'{int(seconds) // 60}:{int(seconds) % 60:02d}'


def watch(processes, work_dirs, epochs):
    """Print one line per epoch until every process has ended.

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
        logs = [read_records(path) for path in work_dirs.values()]
        for name, process in processes.items():
            check(process, work_dirs[name])
        # The mAP of an epoch is logged after its other records.
        seen = [
            max((r.get('epoch', 0) for r in log), default=0) for log in logs
        ]
        over = max(seen) if ended else min(seen) - 1
        for epoch in range(shown + 1, over + 1):
            left = (time.monotonic() - begin) / epoch * (epochs - epoch)
            line = f'{epoch:>4}/{epochs}{clock(left):>9}   '
            for log in logs:
                record = [r for r in log if r.get('epoch') == epoch][-1]
                loss = record['loss'] - record.get(TERM, 0)
                score = series(log, METRIC).get(epoch)
                score = '' if score is None else f'{score:.3f}'
                line += f'{loss:9.3f}  {score:>5}      '
            print(line.rstrip(), flush=True)
            shown = epoch
        time.sleep(0.5)


def compare(results):
    """Format the results as a table.

    Args:
        results (dict[str, list[dict]]): By model, one dict per seed with
            `METRICS` in [0, 1] and, for trained models, `step` in seconds.

    Returns:
        str: A Markdown table; with several seeds the mean and the standard
        deviation of each, and the paired difference between the last model
        and the one before it.
    """

    def cell(values, sign=''):
        text = f'{np.mean(values):{sign}.3f}'
        if len(values) > 1:
            text += f' ± {np.std(values, ddof=1):.3f}'
        return text

    rows = [['', *METRICS, 'step time']]
    for name, runs in results.items():
        row = [name] + [cell([run[m] for run in runs]) for m in METRICS]
        steps = [run['step'] for run in runs if 'step' in run]
        rows.append(row + [f'{np.mean(steps):.3f} s' if steps else ''])
    (_, first), (_, second) = list(results.items())[-2:]
    gain = ['difference']
    for metric in METRICS:
        values = [b[metric] - a[metric] for a, b in zip(first, second)]
        gain.append(cell(values, '+'))
    return '\n'.join(make_table([*rows, [*gain, '']]))


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
        help='one pair of runs per seed',
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
        help='instead of the number in the config, to try things out',
    )
    return parser.parse_args()


@explain_errors()
def main():
    args = parse_args()
    begin = time.monotonic()
    import make_digits  # beside this script

    if not WEIGHTS.is_file():
        raise MMKDFileNotFoundError(
            f"The teacher's weights {WEIGHTS} are not there: "
            'make them with tools/quickstart/train_demo_teacher.sh.'
        )
    print('Making scenes of handwritten digits ...', flush=True)
    data, work = args.data.resolve(), args.work_dir.resolve()
    for split in ('train', 'val'):
        make_digits.make_split(data, split)
    truth = json.loads((data / 'annotations' / 'val.json').read_text())
    options = {'data_root': data}

    def score(file):
        values = evaluate(truth, json.loads(file.read_text()))
        return {metric: values[metric] for metric in METRICS}

    print('Evaluating the teacher ...', flush=True)
    teacher_dir = work / 'teacher'
    process = launch('test.py', TEACHER, teacher_dir, options, str(WEIGHTS))
    process.wait()
    check(process, teacher_dir)
    found = {'teacher': teacher_dir / 'found.bbox.json'}
    results = {'teacher': [score(found['teacher'])]}

    epochs = args.epochs
    if epochs is None:
        config = CONFIGS / f'{RUNS["student"]}.py'
        epochs = Config.fromfile(config).train_cfg.max_epochs
    else:
        options['train_cfg.max_epochs'] = epochs
    for name in RUNS:
        results[name] = []
    for seed in args.seeds:
        print(
            f'\nTraining the student alone and with CKD, seed {seed}, side '
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
            logs[name] = read_records(path)
            found[name] = path / 'found.bbox.json'
            steps = [r['time'] for r in logs[name] if 'iter' in r]
            results[name].append(
                dict(score(found[name]), step=float(np.median(steps)))
            )
        if seed == args.seeds[0]:
            draw_scenes(work / 'scenes.png', data, found)
            best = {METRIC: results['teacher'][0]['mAP']}
            draw([work / 'curves.png'], logs, teacher=best, terms=[TERM])
    table = compare(results)
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
