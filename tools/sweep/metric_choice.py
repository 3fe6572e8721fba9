"""Which metric runs are compared by."""

from mmengine.registry import METRICS
from sweep_plan import PlanError

# Evaluator -> prefix and first metric of its log.
CHOSEN = dict(
    Accuracy='accuracy/top1',
    CocoMetric='coco/bbox_mAP',
    LVISMetric='lvis/bbox_AP',
    VOCMetric='pascal_voc/mAP',
)


def choose_metric(cfg):
    """The metric that a config is usually judged by.

    Args:
        cfg (Config): A config with ``val_evaluator``.

    Returns:
        str: Its name in the log, such as 'coco/bbox_mAP'.

    Raises:
        PlanError: If the config does not validate, or the metric is not
            known.
    """
    for entry in evaluators(cfg):
        name = CHOSEN.get(entry['type'].split('.')[-1])
        if name is None:
            continue
        prefix, _, last = name.partition('/')
        kinds = entry.get('metric', 'bbox')
        if last.startswith('bbox') and 'bbox' not in kinds:
            continue
        return f'{entry.get("prefix") or prefix}/{last}'
    types = ', '.join(str(entry['type']) for entry in evaluators(cfg))
    raise PlanError(
        f'The metric to compare by is not known for {types}: name it with '
        "--metric, as the log does, for example 'coco/bbox_mAP'."
    )


def evaluators(cfg):
    """The evaluators of the validation.

    Raises:
        PlanError: If there is none.
    """
    found = cfg.get('val_evaluator')
    if not found or cfg.get('val_dataloader') is None:
        raise PlanError(
            f'The config {cfg.filename} does not validate, so there is '
            'nothing to compare: add `val_dataloader`, `val_evaluator` and '
            '`val_cfg`.'
        )
    return found if isinstance(found, (list, tuple)) else [found]


def check_metric(cfg, metric):
    """Refuse a metric that no evaluator of a config can log.

    Args:
        cfg (Config): A config whose modules have been imported.
        metric (str): Name of the metric.

    Raises:
        PlanError: If its prefix is of none of them.
    """
    scope, prefixes = cfg.get('default_scope') or 'mmengine', []
    for entry in evaluators(cfg):
        name = entry['type']
        if '.' not in name:
            name = f'{scope}.{name}'
        kind = METRICS.get(name)
        prefixes.append(
            entry.get('prefix') or getattr(kind, 'default_prefix', None)
        )
    if None in prefixes or metric.partition('/')[0] in prefixes:
        return
    raise PlanError(
        f'The validation logs no {metric!r}, but names that begin with '
        f'{" or ".join(f"{prefix}/" for prefix in prefixes)}: correct the '
        'metric.'
    )
