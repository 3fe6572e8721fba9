#!/usr/bin/env python
"""Train a student alone and with several methods, and compare them.

    python tools/compare.py STUDENT.py --teacher TEACHER.py CHECKPOINT \\
        --methods ckd rld pkd --seeds 0 1 2 --epochs 12 --jobs 2

The methods are those of configs/_base_/methods/. Each gets a config in
OUT/configs/, a few lines on top of the student's, which tools/train.py takes
too. All of them are checked before the first training begins. From there on
it is a sweep: see tools/sweep/sweep.py, and docs/comparing.md.
"""

import argparse
import json
import shlex
import sys
from pathlib import Path

sys.path.insert(1, str(Path(__file__).parent / 'sweep'))

from compare_configs import (  # noqa: E402
    check_methods,
    contents_of,
    data_of,
    epochs_of,
    write_configs,
    write_plan,
)
from metric_choice import choose_metric  # noqa: E402
from sweep_options import add_options, set_slots  # noqa: E402
from sweep_plan import PlanError, read_plan  # noqa: E402
from sweep_run import locked, run_plan  # noqa: E402

from mmkd_plugin.checkpoints.atomic import write_text  # noqa: E402
from mmkd_plugin.cli.config_options import KeyValues  # noqa: E402
from mmkd_plugin.cli.errors import explain_errors  # noqa: E402
from mmkd_plugin.model_config import config_of  # noqa: E402

# What must be the same in a folder that is used again.
FIXED = ('student', 'teacher_config', 'teacher_checkpoint', 'epochs')


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('student', help='config of the student alone')
    parser.add_argument(
        '--teacher',
        nargs=2,
        required=True,
        metavar=('CONFIG', 'CHECKPOINT'),
        help='config and weights of the teacher',
    )
    parser.add_argument(
        '--methods',
        nargs='+',
        required=True,
        metavar='METHOD',
        help='names of files in configs/_base_/methods/: ckd rld pkd',
    )
    parser.add_argument(
        '--seeds', nargs='+', type=int, default=[0, 1, 2], metavar='SEED'
    )
    parser.add_argument(
        '--epochs',
        type=int,
        help='train for this many epochs, with the schedule of the student '
        'scaled in proportion (default: as long as its config says)',
    )
    parser.add_argument(
        '--metric',
        help="what is compared, as the log calls it: 'coco/bbox_mAP' "
        '(default: chosen by the evaluator)',
    )
    add_options(parser, './work_dirs/compare/STUDENT')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=KeyValues,
        default={},
        metavar='KEY=VALUE',
        help='change settings in all runs, for example data_root=/coco/',
    )
    args = parser.parse_args()
    set_slots(parser, args)
    if args.epochs is not None and args.epochs < 1:
        parser.error(f'expected 1 or more --epochs but got {args.epochs}')
    # Nothing of a comparison imports modules of its own.
    args.modules = Path.cwd()
    return args


def prepare(args, cfg, out):
    """Write the configs and the plan of a comparison.

    Args:
        args (argparse.Namespace): The options.
        cfg (Config): The student.
        out (Path): The folder, locked.

    Returns:
        Plan: The plan.

    Raises:
        PlanError: If the folder holds other trainings, or an option cannot
            be given to them.
    """
    config, checkpoint = args.teacher
    said = dict(
        command=shlex.join(['python', 'tools/compare.py', *sys.argv[1:]]),
        student=args.student,
        teacher_config=config,
        teacher_checkpoint=checkpoint,
        methods=args.methods,
        seeds=args.seeds,
        epochs=args.epochs,
    )
    record = out / 'compare.json'
    if record.is_file() and any(out.glob('*/seed_*/settings.json')):
        then = json.loads(record.read_text())
        for key in FIXED:
            if then[key] != said[key]:
                raise PlanError(
                    f'{out} holds trainings with {key} = {then[key]}, not '
                    f'{said[key]}: choose another folder with --out.'
                )
    metric = args.metric or choose_metric(cfg)
    teacher = dict(config=config, checkpoint=checkpoint)
    contents = contents_of(cfg, teacher, args.methods, args.epochs)
    for name, epochs in epochs_of(cfg, contents).items():
        print(
            f'note: {name} trains {epochs} epochs, as its fragment says, and '
            'the student does not: --epochs makes all the same'
        )
    paths = write_configs(out, args.student, contents, args.cfg_options)
    path = write_plan(out, paths, args.seeds, metric, args.cfg_options)
    plan = read_plan(str(path))
    write_text(record, json.dumps(said, indent=1) + '\n')
    return plan


@explain_errors()
def main():
    args = parse_args()
    name = Path(args.student).stem
    out = (args.out or Path('work_dirs', 'compare', name)).resolve()
    try:
        cfg = config_of(args.student, 'student')
        check_methods(args.methods, data_of(cfg))
        with locked(out) as lock:
            code = run_plan(prepare(args, cfg, out), out, lock, args)
    except PlanError as error:
        raise SystemExit(f'error: {error}') from error
    sys.exit(code)


if __name__ == '__main__':
    main()
