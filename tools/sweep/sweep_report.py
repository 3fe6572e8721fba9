"""The report of a sweep: numbers, a table and a figure."""

import json
from dataclasses import replace

import numpy as np
from sweep_numbers import digits_of, number
from sweep_plot import draw
from verdict import judge

from mmkd_plugin.reports import tables
from mmkd_plugin.reports.run_log import read_metric

CONFIDENCE = 0.95


def summarize_metric(values):
    """The last and the best (highest) value of the validations.

    Args:
        values (dict[int, float]): As of :func:`read_metric`, not empty.

    Returns:
        dict: ``last``, ``last_step``, ``best``, ``best_step``.
    """
    last, best = max(values), max(values, key=values.get)
    return dict(
        last=values[last], last_step=last, best=values[best], best_step=best
    )


def interval(values):
    """Mean and its confidence interval by Student's t distribution.

    Args:
        values (list[float]): One or more.

    Returns:
        tuple[float, float | None, float | None]: Mean, lower and upper end;
        a single value has no interval.
    """
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, None, None
    from scipy.stats import t

    error = np.std(values, ddof=1) / len(values) ** 0.5
    half = float(t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * error)
    return mean, mean - half, mean + half


def collect(plan, out):
    """Collect the results of all finished runs.

    Args:
        plan (Plan): The plan.
        out (Path): The folder of the sweep.

    Returns:
        dict[str, dict]: By run, in the order of the plan: the planned
        ``seeds``; ``last`` and ``best`` by finished seed; ``mean`` and
        ``std`` (n - 1) of the last, None where there are too few; ``commits``
        of the code; ``difference``: its ``baseline``, ``values`` by seed
        that both have, ``mean``, ``low`` and ``high``, None without a common
        seed; and ``verdict``, see :func:`verdict.judge`.
    """
    rows = {}
    for name, run in plan.runs.items():
        found = {}
        for seed in run.seeds:
            folder = run.folder(out, seed)
            if (folder / 'result.json').is_file():
                result = json.loads((folder / 'result.json').read_text())
                if result['metric'] != plan.metric:
                    values = read_metric(folder, plan.metric)
                    if not values:
                        continue
                    result.update(summarize_metric(values))
                found[seed] = result
        last = {seed: result['last'] for seed, result in found.items()}
        values = list(last.values())
        rows[name] = dict(
            config=run.config,
            seeds=run.seeds,
            last=last,
            best={seed: result['best'] for seed, result in found.items()},
            mean=float(np.mean(values)) if values else None,
            std=float(np.std(values, ddof=1)) if len(values) > 1 else None,
            commits=sorted(
                {
                    str(attempt['commit'])
                    for result in found.values()
                    for attempt in result['attempts']
                }
            ),
        )
    for name, run in plan.runs.items():
        rows[name]['difference'] = None
        if run.baseline in (None, name):
            continue
        own, other = rows[name]['last'], rows[run.baseline]['last']
        values = {seed: own[seed] - other[seed] for seed in own.keys() & other}
        if values:
            mean, low, high = interval([values[seed] for seed in values])
            rows[name]['difference'] = dict(
                baseline=run.baseline,
                values=dict(sorted(values.items())),
                mean=mean,
                low=low,
                high=high,
            )
    for name, run in plan.runs.items():
        controls = {other: rows[other]['last'] for other in run.controls}
        rows[name]['verdict'] = judge(plan.metric, rows[name], controls)
    return rows


def make_table(rows, metric):
    """Format the results as Markdown.

    Args:
        rows (dict[str, dict]): As :func:`collect` returns them.
        metric (str): Name of the metric.

    Returns:
        str: The table and how to read it.
    """
    digits = digits_of(rows)
    head = 'run|seeds|mean|std|difference|95 % interval|to|verdict'
    cells = [head.split('|')]
    for name, row in rows.items():
        done, all_seeds = len(row['last']), len(row['seeds'])
        line = [
            name,
            str(done) if done == all_seeds else f'{done} of {all_seeds}',
            number(row['mean'], digits),
            number(row['std'], digits),
        ]
        gain = row['difference']
        if gain is None:
            line += ['', '', '', '']
        else:
            ends = [number(gain[end], digits, '+') for end in ('low', 'high')]
            pairs = len(gain['values'])
            line += [
                number(gain['mean'], digits, '+'),
                f'{ends[0]} to {ends[1]}' if ends[0] else '',
                gain['baseline']
                + (f' ({pairs} of {done} seeds)' if pairs < done else ''),
                ': '.join(filter(None, row['verdict'].values())),
            ]
        cells.append(line)
    commits = {commit for row in rows.values() for commit in row['commits']}
    return '\n'.join(
        [
            f'{metric} at the last validation.',
            '',
            *tables.make_table(cells, left=(0, 6, 7)),
            '',
            'std: standard deviation over seeds (n - 1). difference: mean of '
            'the differences to the',
            'baseline with equal seed, with the 95 % interval of the t '
            'distribution, not corrected for',
            'the number of runs compared. verdict: by docs/rule.md.',
            f'Code: {", ".join(sorted(commits)) or "nothing was run"}.',
        ]
    )


def write_results(plan, out, metric=None):
    """Write results.md, .json and .png, and print the first.

    The page of an earlier time is removed, because it would be wrong.

    Args:
        plan (Plan): The plan.
        out (Path): The folder of the sweep.
        metric (str, optional): Another validated metric than the plan's; the
            files are then called results_METRIC, with _ for /.

    Returns:
        dict[str, dict]: What was written, see :func:`collect`.
    """
    plan, suffix = _as_asked(plan, metric)
    stem = f'results{suffix}'
    rows = collect(plan, out)
    table = make_table(rows, plan.metric)
    out.mkdir(parents=True, exist_ok=True)
    (out / f'report{suffix}.html').unlink(missing_ok=True)
    (out / f'{stem}.md').write_text(table + '\n')
    content = dict(metric=plan.metric, runs=rows)
    (out / f'{stem}.json').write_text(json.dumps(content, indent=1) + '\n')
    draw(out / f'{stem}.png', rows, plan.metric)
    print(f'\n{table}\n\n{out}/{stem}.md', flush=True)
    return rows


def write_report_page(plan, out, rows, metric=None):
    """Write report.html, or report_METRIC.html, and say where it is.

    Args:
        plan (Plan): The plan.
        out (Path): The folder of the sweep.
        rows (dict[str, dict]): As :func:`write_results` returns them.
        metric (str, optional): As given to it.
    """
    # Not above: what is in `page` reads plans and numbers as this does.
    from page import write_page

    plan, suffix = _as_asked(plan, metric)
    print(write_page(plan, out, rows, f'report{suffix}.html'), flush=True)


def _as_asked(plan, metric):
    """The plan with the metric that is asked for, and a suffix of files."""
    if metric in (None, plan.metric):
        return plan, ''
    return replace(plan, metric=metric), '_' + metric.replace('/', '_')
