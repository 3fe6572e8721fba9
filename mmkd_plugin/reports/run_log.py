"""The log of a run: scalars.json of MMEngine's LocalVisBackend."""

import json
import math
from pathlib import Path


def read_records(work_dir):
    """Read everything that a run has logged so far.

    Args:
        work_dir (str | Path): Its work directory; a resumed run has several
            logs.

    Returns:
        list[dict]: One per line, oldest first. Training records have ``iter``
        and, in epoch-based training, ``epoch``. All have ``step``, the
        iteration in training and the epoch in validation.
    """
    records, iteration = [], 0
    for path in sorted(Path(work_dir).glob('*/vis_data/scalars.json')):
        for line in path.read_text().splitlines():
            try:
                record = json.loads(line)
            except ValueError:  # being written, or incomplete after a kill
                continue
            iteration = record.get('iter', iteration)
            # In iteration-based training MMEngine validates in epoch 0.
            record['step'] = record.get('step') or iteration
            records.append(record)
    return records


def series(records, name):
    """One value over the course of a run.

    Args:
        records (list[dict]): From :func:`read_records`.
        name (str): Name of the value.

    Returns:
        dict[int, float]: Value by step, in ascending order. A resumed run
        goes back to a checkpoint: a value replaces earlier ones of the same or
        a later step.
    """
    values = {}
    for record in records:
        if name in record:
            while values and next(reversed(values)) >= record['step']:
                values.popitem()
            values[record['step']] = record[name]
    return values


def read_metric(work_dir, metric):
    """Read a validation metric of a run.

    Args:
        work_dir (str | Path): Its work directory.
        metric (str): Name of a validation metric.

    Returns:
        dict[int, float]: Value by epoch, or by iteration in iteration-based
        training, see :func:`series`.
    """
    return series(read_records(work_dir), metric)


def epoch_length(records):
    """Iterations per epoch, estimated from the log.

    Args:
        records (list[dict]): From :func:`read_records`.

    Returns:
        int | None: Exact if fewer iterations follow the last logged one of an
        epoch than there are epochs; otherwise too small by a part of the
        logging interval. None in iteration-based training.
    """
    least = [
        record['iter'] / record['epoch']
        for record in records
        if 'iter' in record and 'epoch' in record
    ]
    return math.ceil(max(least)) if least else None
