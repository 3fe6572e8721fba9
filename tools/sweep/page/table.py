"""The table of the page: quality, differences and costs of each run."""

import json
from statistics import mean, median

from sweep_numbers import digits_of, number

from mmkd_plugin.reports.run_log import series

# Other metrics that are shown beside one, by the end of its name.
BESIDE = {
    'bbox_mAP': ('bbox_mAP_50', 'bbox_mAP_75'),
    'bbox_AP': ('bbox_AP50', 'bbox_AP75'),
    'mAP': ('AP50',),
    'top1': ('top5',),
}
SHOWN = {'bbox_mAP_50': 'AP50', 'bbox_mAP_75': 'AP75', 'bbox_mAP': 'mAP'}


def make_table(data):
    """Collect the cells of the table.

    Args:
        data (Data): The sweep.

    Returns:
        tuple[list[str], list[dict]]: Names of the metrics, and for every run
        its ``name``, ``role``, ``seeds``, ``metrics`` (text, one for each
        name), ``difference``, ``interval``, ``verdict``, ``cost``, ``step``
        and ``memory``; a text is empty where nothing is known.
    """
    digits = digits_of(data.rows)
    names = [data.plan.metric, *_beside(data)]
    lines = []
    for name, row in data.rows.items():
        gain = row['difference']
        done, planned = len(row['last']), len(row['seeds'])
        line = dict(
            name=name,
            role=_role(data, name),
            seeds=f'{done}' if done == planned else f'{done} of {planned}',
            metrics=[_mean(data, name, metric, digits) for metric in names],
            difference='',
            interval='',
            verdict=row['verdict'],
            against='',
            step=_seconds(step_of(data, name)),
            cost=_cost(data, name),
            memory=_memory(data, name),
        )
        if gain:
            line['difference'] = number(gain['mean'], digits, '+')
            line['against'] = gain['baseline']
            if gain['low'] is not None:
                ends = (number(gain[k], digits, '+') for k in ('low', 'high'))
                line['interval'] = ' to '.join(ends)
        lines.append(line)
    return [SHOWN.get(_last(name), name) for name in names], lines


def step_of(data, name):
    """Seconds of a training step.

    Args:
        data (Data): The sweep.
        name (str): Name of a run.

    Returns:
        float | None: Median over the log, over all finished seeds.
    """
    times = [
        record['time']
        for records in data.logs[name].values()
        for record in records
        if 'time' in record and 'iter' in record
    ]
    return median(times) if times else None


def _last(metric):
    return metric.rpartition('/')[2]


def _beside(data):
    """Metrics next to that of the plan which some run has logged."""
    metric = data.plan.metric
    stem = metric[: len(metric) - len(_last(metric))]
    logged = {
        key
        for by_seed in data.logs.values()
        for records in by_seed.values()
        for record in records
        for key in record
    }
    wanted = [stem + name for name in BESIDE.get(_last(metric), ())]
    return [name for name in wanted if name in logged]


def _mean(data, name, metric, digits):
    """Mean and, of what is compared, standard deviation, as text."""
    row = data.rows[name]
    if metric == data.plan.metric:
        spread = number(row['std'], digits)
        return number(row['mean'], digits) + (spread and f' ± {spread}')
    found = [series(log, metric) for log in data.logs[name].values()]
    values = [by_step[max(by_step)] for by_step in found if by_step]
    return number(mean(values), digits) if values else ''


def _role(data, name):
    if name in data.groups:
        return 'baseline'
    return 'control' if name in data.controls else ''


def _seconds(value):
    if value is None:
        return ''
    return f'{value:.2f} s' if value >= 1 else f'{1000 * value:.0f} ms'


def _cost(data, name):
    """Time of a step relative to the baseline."""
    baseline = data.plan.runs[name].baseline
    own = step_of(data, name)
    other = step_of(data, baseline) if baseline else None
    return f'{own / other:.2f} ×' if own and other else ''


def _memory(data, name):
    """The largest peak of all trainings, of the GPU if there is one."""
    on_gpu = [
        record['memory']
        for records in data.logs[name].values()
        for record in records
        if record.get('memory')
    ]
    if on_gpu:
        return f'{max(on_gpu):.0f} MiB GPU'
    run, peaks = data.plan.runs[name], []
    for seed in data.logs[name]:
        path = run.folder(data.out, seed) / 'attempts.json'
        if path.is_file():
            attempts = json.loads(path.read_text())
            peaks += [attempt.get('memory') or 0 for attempt in attempts]
    return f'{max(peaks):.0f} MiB' if any(peaks) else ''
