"""Entries for a metafile in the format of OpenMMLab's model-index."""

import re
from pathlib import Path

from mmkd_plugin.reports.run_log import read_records, series

# Name of a metric in the log -> task, name and factor in a metafile.
METRICS = {
    'coco/bbox_mAP': ('Object Detection', 'box AP', 100),
    'coco/segm_mAP': ('Instance Segmentation', 'mask AP', 100),
    'accuracy/top1': ('Image Classification', 'Top 1 Accuracy', 1),
    'accuracy/top5': ('Image Classification', 'Top 5 Accuracy', 1),
}


def read_results(path, meta, work_dir, dataset):
    """Read the results of a checkpoint from the log of its run.

    Args:
        path (Path): The checkpoint, as named by MMEngine.
        meta (dict): `meta` of the checkpoint.
        work_dir (Path): Of its run.
        dataset (str): Name of the validation data.

    Returns:
        list[dict]: `Results` of a metafile.

    Raises:
        SystemExit: If the log is not that of the checkpoint.
    """
    # The name ends with the time at which the run started.
    started = str(meta.get('experiment_name'))[-15:]
    if not re.fullmatch(r'\d{8}_\d{6}', started):
        started = 'unknown'
    if not (work_dir / started).is_dir():
        raise SystemExit(
            f'error: {work_dir} has no folder {started}, so that the run '
            f'that saved {path} was another one: give its work directory, '
            'or leave --log out.'
        )
    records = read_records(work_dir)
    unit = 'epoch' if any('epoch' in r for r in records) else 'iter'
    found = re.search(rf'{unit}_(\d+)$', path.stem)
    results = {}
    for metric, (task, label, factor) in METRICS.items():
        values = series(records, metric)
        if found and int(found[1]) in values:
            value = round(values[int(found[1])] * factor, 4)
            results.setdefault(task, {})[label] = value
    if not results:
        raise SystemExit(
            f'error: {work_dir} has no validation of {path.name} with one of '
            f'{", ".join(METRICS)}: give a checkpoint named {unit}_N.pth or '
            f'best_..._{unit}_N.pth that was validated, or leave --log out.'
        )
    return [
        dict(Task=task, Dataset=dataset, Metrics=metrics)
        for task, metrics in results.items()
    ]


def make_entry(path, config, model, meta, settings, results):
    """Make the entry of a model.

    Args:
        path (Path): The published file.
        config (str): Path of the config.
        model (nn.Module): The model.
        meta (dict): `meta` of the checkpoint.
        settings (dict): As of :func:`training_settings.describe`.
        results (list[dict]): As of :func:`read_results`; may be empty.

    Returns:
        dict: One of the `Models` of a metafile.
    """
    count = sum(weight.numel() for weight in model.parameters())
    metadata = dict(Parameters=count)
    for key, label in (('epoch', 'Epochs'), ('iter', 'Iterations')):
        if type(meta.get(key)) is int and meta[key] > 0:
            metadata[label] = meta[key]
            break
    if settings['Distillation'] != 'none':
        metadata['Training Techniques'] = ['Knowledge Distillation']
    metadata.update(settings)
    entry = dict(Name=Path(config).stem, Config=config, Metadata=metadata)
    if results:
        entry['Results'] = results
    return dict(entry, Weights=path.name)
