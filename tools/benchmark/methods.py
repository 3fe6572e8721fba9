#!/usr/bin/env python
"""Steps of one detector with different methods, side by side.

The student and the teacher of a config are distilled by the losses of
configs/_base_/methods/NAME.py, each in a run of its own. All make their steps
in turn, in one process, and so does the student alone; every step is on one
batch of noise, with a learning rate of 0, and a teacher whose checkpoint is
missing has random weights. Per method:

* step: its time relative to the student's step, with the teacher's forward;
* own: of its terms alone, forward and backward, relative to the same;
* memory: the peak of the step relative to the student's, and that of the terms
  by themselves.

For crossed terms the teacher's head on the student's maps is in "own", see
term_cost.py. Time is CPU time, and on a GPU wall-clock time. On a machine
under other load, trust the ratios only.

For example:
  python tools/benchmark/methods.py --threads 1 --size 192 256
"""

import copy
import statistics
from pathlib import Path

import torch
from mmengine.config import Config
from noise import use_noise
from peak_memory import peak_memory
from runs import (
    build_parser,
    run_benchmark,
    start,
    student_alone,
    training_config,
)
from stepping import request_of
from term_cost import ALL, cost_of_terms
from timing import compare, quartiles, summary

from mmkd_plugin import ExactResumeHook

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
CONFIG = CONFIGS / 'bccd' / 'frcnn_r18w32_r18w8_ckd.py'
METHODS = ['kd', 'ckd', 'box', 'crosskd', 'pkd', 'cwd', 'reviewkd']


def parse_args():
    parser = build_parser(__doc__)
    parser.add_argument('--config', default=str(CONFIG))
    parser.add_argument('--methods', nargs='+', default=METHODS)
    parser.add_argument('--batch', type=int, default=2, help='images per step')
    parser.add_argument(
        '--size', type=int, nargs=2, default=(192, 256), metavar=('H', 'W')
    )
    args = parser.parse_args()
    if min(args.rounds, args.batch, *args.size) < 1:
        parser.error('expected numbers of at least 1')
    return args


def hook_of(method, student, teacher):
    """The hook of a method, with the channels of these detectors.

    Args:
        method (str): Stem of a file in configs/_base_/methods/.
        student (dict): Config of the student's model.
        teacher (dict): The same of the teacher.

    Returns:
        dict: Its config, without the teacher.

    Raises:
        SystemExit: If there is no such file.
    """
    path = CONFIGS / '_base_' / 'methods' / f'{method}.py'
    if not path.is_file():
        known = sorted(file.stem for file in path.parent.glob('*.py'))
        raise SystemExit(
            f'error: expected --methods to be among {", ".join(known)} but '
            f'got {method!r}.'
        )
    hook = Config.fromfile(path).distill.to_dict()
    for loss in hook.get('losses', {}).values():
        for side, model in (('student', student), ('teacher', teacher)):
            key = f'{side}_channels'
            if key in loss:
                loss[key] = [model['neck']['out_channels']] * len(loss[key])
    return dict(hook, warmup=0)


def prepare(args, folder):
    """A runner of each method by name, and of the student alone."""
    cfg, hook = training_config(args, folder)
    use_noise(cfg, args.size, args.batch)
    alone = student_alone(cfg)
    runners = dict(student=start(alone, 'student', ExactResumeHook()))
    for method in args.methods:
        own = copy.deepcopy(alone)
        own.custom_hooks.append(
            dict(
                teacher=hook.teacher.to_dict(),
                **hook_of(method, cfg.model, hook.teacher.config['model']),
            )
        )
        runners[method] = start(own, method, ExactResumeHook())
    return runners


def measure(args, folder):
    """All figures, as a dict of plain numbers."""
    runners = prepare(args, folder)
    steps = {name: runner.train_loop.step for name, runner in runners.items()}
    times = compare(steps, 1, args.rounds)
    device = next(runners['student'].model.parameters()).device
    clock = int(device.type == 'cpu')
    alone = [each[clock] for each in times['student']]
    base = peak_memory(steps['student'])
    rows = {}
    for name in args.methods:
        request = request_of(runners[name])
        terms = cost_of_terms(runners[name], request, args.rounds)
        own = terms[ALL]['forward'] + terms[ALL]['backward']
        ratios = [a[clock] / b for a, b in zip(times[name], alone)]
        rows[name] = dict(
            step=summary(ratios),
            own=own / statistics.median(alone),
            memory=peak_memory(steps[name]) / base,
            bytes=terms[ALL]['memory'],
            terms=terms,
        )
    return dict(
        config=args.config,
        device=str(device),
        torch=torch.__version__,
        threads=torch.get_num_threads(),
        size=list(args.size),
        batch=args.batch,
        rounds=args.rounds,
        student=dict(
            milliseconds=statistics.median(alone),
            quartiles=quartiles(alone),
            memory=base,
        ),
        rows=rows,
    )


def report(found):
    """Print the figures as a Markdown table."""
    student = found['student']
    print(
        f'{found["config"]}, {found["batch"]} images of {found["size"]}, on '
        f'{found["device"]} with {found["threads"]} threads, torch '
        f'{found["torch"]}, {found["rounds"]} rounds; the student alone takes '
        f'{student["milliseconds"]:.1f} ms and '
        f'{student["memory"] / 2**20:.1f} MiB\n'
    )
    print('| method | step / student | quartiles | own / student ', end='')
    print('| memory of the step / student | of the terms, MiB |')
    print('|---|--:|--:|--:|--:|--:|')
    for name, row in found['rows'].items():
        low, high = row['step']['quartiles']
        print(
            f'| {name} | {row["step"]["median"]:.2f} | {low:.2f} to '
            f'{high:.2f} | {row["own"]:.3f} | {row["memory"]:.2f} '
            f'| {row["bytes"] / 2**20:.1f} |'
        )


def main():
    run_benchmark(parse_args(), measure, report)


if __name__ == '__main__':
    main()
