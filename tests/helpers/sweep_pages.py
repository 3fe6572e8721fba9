"""Folders of sweeps as finished trainings leave them."""

import json
from pathlib import Path

import page.data
import sweep_plan
import sweep_report

MAP = 'coco/bbox_mAP'
COMMIT = 'c' * 40
ENVIRONMENT = """
System environment:
    sys.platform: linux
    Python: 3.11.7 (main)
    PyTorch: 2.11.0
    PyTorch compiling details: PyTorch built with:
  - GCC 13.3
    MMEngine: 0.10.12

Runtime environment:
    seed: 0
"""


def write_training(folder, values, metric=MAP, step=0.25, **attempt):
    """Write what one training leaves.

    Args:
        folder (Path): Its folder.
        values (list[float]): The metric after each epoch; empty: it has not
            finished.
        metric (str): Name of the metric.
        step (float): Seconds of a step.
        **attempt: Of its entry in attempts.json.
    """
    command = ['/usr/bin/python', '/a/tools/train.py', 'c.py']
    command += ['--work-dir', str(folder)]
    attempts = [dict(dict(command=command, commit=COMMIT), **attempt)]
    logs = folder / '2026' / 'vis_data'
    logs.mkdir(parents=True)
    lines = []
    for epoch, value in enumerate(values, 1):
        for iteration in (10 * epoch - 5, 10 * epoch):
            lines.append(
                dict(
                    loss=2 / iteration,
                    loss_kd=1 / iteration,
                    time=step,
                    epoch=epoch,
                    iter=iteration,
                    step=iteration,
                )
            )
        lines.append({metric: value, f'{metric}_50': 2 * value, 'step': epoch})
    (logs / 'scalars.json').write_text('\n'.join(map(json.dumps, lines)))
    (folder / 'attempts.json').write_text(json.dumps(attempts))
    (folder / '2026' / '2026.log').write_text(ENVIRONMENT)
    settings = dict(
        config=dict(model=dict(depth=18), custom_hooks=None),
        files={},
        needs={},
    )
    (folder / 'settings.json').write_text(json.dumps(settings))
    if values:
        result = dict(
            metric=metric,
            last=values[-1],
            last_step=len(values),
            best=max(values),
            attempts=attempts,
        )
        (folder / 'result.json').write_text(json.dumps(result))


def make_data(out, runs, seeds=None, metric=MAP, controls=None, **kwargs):
    """Write a sweep, and read it.

    Args:
        out (Path): Its folder.
        runs (dict[str, dict[int, list]]): By run and seed the metric after
            each epoch; the first run is the baseline.
        seeds (list[int], optional): Planned ones; default: those there.
        metric (str): Name of the metric.
        controls (dict[str, list[str]], optional): Controls of a run.
        **kwargs: Arguments of :func:`write_training`.

    Returns:
        page.data.Data: The sweep.
    """
    baseline = next(iter(runs))
    plan = sweep_plan.Plan(
        metric,
        {
            name: sweep_plan.Run(
                name,
                'c.py',
                {},
                seeds or [*by_seed],
                baseline,
                (controls or {}).get(name, []),
            )
            for name, by_seed in runs.items()
        },
    )
    for name, by_seed in runs.items():
        for seed, values in by_seed.items():
            folder = Path(out, name, f'seed_{seed}')
            write_training(folder, values, metric, **kwargs)
    return read_data(plan, out)


def read_data(plan, out):
    return page.data.Data(plan, out, sweep_report.collect(plan, out))


def gains(*values, base=0.4):
    """One run: for each seed two validations, the last `base` + value."""
    return {
        seed: [base / 2, base + 0.01 * seed + value]
        for seed, value in enumerate(values)
    }
