#!/usr/bin/env python
"""Train several configs with several seeds, and compare them.

A plan (see tools/sweep/sweep_plan.py) names the configs, the settings to
change and the seeds. Each training is a process of tools/train.py; all runs of
one seed come before those of the next, so that what has finished at any time
can be compared. Modules beside the plan can be named in `custom_imports`.
Before the first training all runs are checked on noise.
The command can be stopped and started again: finished
trainings are kept, unfinished ones are resumed. Results are in OUT/results.md,
.json and .png, those of one training in OUT/RUN/seed_N (see
tools/sweep/sweep_job.py).

    python tools/sweep/sweep.py PLAN.py --jobs 2
"""

import argparse
import sys
from pathlib import Path

from sweep_options import add_options, set_slots
from sweep_plan import PlanError, read_plan
from sweep_run import locked, report, run_plan

from mmkd_plugin.cli.errors import explain_errors


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('plan', help='path of the plan')
    add_options(parser, './work_dirs/sweeps/PLAN')
    parser.add_argument(
        '--report-only',
        action='store_true',
        help='train nothing, report what has finished',
    )
    parser.add_argument(
        '--metric',
        help='with --report-only: report another metric of the same '
        'validations, in OUT/results_METRIC.*',
    )
    args = parser.parse_args()
    if args.metric and not args.report_only:
        parser.error(
            '--metric is for --report-only: the plan names the metric that '
            'trainings are compared by.'
        )
    set_slots(parser, args)
    args.modules = Path(args.plan).resolve().parent
    return args


@explain_errors()
def main():
    args = parse_args()
    out = args.out or Path('work_dirs', 'sweeps', Path(args.plan).stem)
    out = out.resolve()
    sys.path.append(str(args.modules))
    try:
        plan = read_plan(args.plan)
        if args.report_only:
            code = report(plan, out, args.metric)
        else:
            with locked(out) as lock:
                code = run_plan(plan, out, lock, args)
    except PlanError as error:
        raise SystemExit(f'error: {error}') from error
    sys.exit(code)


if __name__ == '__main__':
    main()
