"""Made-up logs of runs."""

import json

METRIC = 'coco/bbox_mAP'


def write_log(work_dir, name='20260101_000000', start=0, **values):
    """Write the log of epochs of 26 iterations, logged at 10 and 20 of each.

    mAP is a tenth of the epoch. The last line is cut off.

    Args:
        work_dir (Path): The work directory.
        name (str): Folder of the log.
        start (int): Epochs that were trained before.
        **values (list[float]): Logged values by name, two an epoch.
    """
    lines = []
    for index, column in enumerate(zip(*values.values())):
        epoch = start + index // 2 + 1
        step = 26 * (epoch - 1) + 10 * (index % 2 + 1)
        record = dict(time=0.1, epoch=epoch, iter=step, step=step)
        lines.append({**dict(zip(values, column)), **record})
        if index % 2:
            lines.append({METRIC: epoch / 10, 'time': 0.2, 'step': epoch})
    folder = work_dir / name / 'vis_data'
    folder.mkdir(parents=True)
    text = '\n'.join(map(json.dumps, lines))
    (folder / 'scalars.json').write_text(text + '\n{"loss": 1.')
