"""What a run has logged: the scalars.json of MMEngine's local backend."""

import json
import math
from pathlib import Path


def read_records(work_dir):
    """Read all that a run has logged so far.

    Args:
        work_dir (str | Path): Its work directory; a resumed run has several
            logs.

    Returns:
        list[dict]: One a line, oldest first. Those of training have ``iter``
        and, in training by epoch, ``epoch``; all have ``step``, which counts
        iterations there and epochs in validations.
    """
    records, iteration = [], 0
    for path in sorted(Path(work_dir).glob('*/vis_data/scalars.json')):
        for line in path.read_text().splitlines():
            try:
                record = json.loads(line)
            except ValueError:  # being written, or cut off by a kill
                continue
            iteration = record.get('iter', iteration)
            # In training by iteration MMEngine validates in epoch 0.
            record['step'] = record.get('step') or iteration
            records.append(record)
    return records


def series(records, name):
    """Follow one value through a run.

    Args:
        records (list[dict]): As of :func:`read_records`.
        name (str): Name of the value.

    Returns:
        dict[int, float]: Value by step, in rising order. A resumed run goes
        back to a checkpoint: a value takes the place of all earlier ones of
        its step or later.
    """
    values = {}
    for record in records:
        if name in record:
            while values and next(reversed(values)) >= record['step']:
                values.popitem()
            values[record['step']] = record[name]
    return values


def read_metric(work_dir, metric):
    """Read the validations of a run.

    Args:
        work_dir (str | Path): Its work directory.
        metric (str): Name of a validation metric.

    Returns:
        dict[int, float]: Value by epoch, or by iteration of training by
        iteration, see :func:`series`.
    """
    return series(read_records(work_dir), metric)


def epoch_length(records):
    """Iterations in an epoch, as far as the log tells them.

    Args:
        records (list[dict]): As of :func:`read_records`.

    Returns:
        int | None: Exact if the iterations after the last that is logged in
        an epoch are fewer than there are epochs; else too small by a part of
        the interval of the logger. None in training by iteration.
    """
    least = [
        record['iter'] / record['epoch']
        for record in records
        if 'iter' in record and 'epoch' in record
    ]
    return math.ceil(max(least)) if least else None
