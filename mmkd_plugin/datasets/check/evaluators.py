"""Checks of the evaluator: its annotation file, and what it needs.

pycocotools uses whatever file it is given, and counts a detection that is
matched with the annotation of `id` 0 as false.
"""

import os
from collections.abc import Sequence

import numpy as np

from ...arguments import few
from ...exceptions import MMKDValueError
from ..class_names import names_of
from .classes import check_categories
from .coco_boxes import left_out, warn_twice
from .coco_file import CocoFile, read_coco, to_file
from .coco_masks import check_masks
from .introspection import is_remote, setting, transforms, unwrap
from .messages import warn

# The metrics in the summary of pycocotools.
_DETECTIONS = 100
METRIC_ITEMS = (
    *('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l'),
    *('AR@100', 'AR@300', 'AR@1000', 'AR_s@1000', 'AR_m@1000', 'AR_l@1000'),
)


def configs_of(evaluator) -> list:
    """The configs of the metrics in the config of an evaluator."""
    if isinstance(evaluator, dict) and 'metrics' in evaluator:
        evaluator = evaluator['metrics']
    return (
        list(evaluator)
        if isinstance(evaluator, (list, tuple))
        else ([evaluator] if evaluator else [])
    )


def check_annotation_files(split: str, evaluator) -> None:
    """Check the annotation files of evaluators that could not be built.

    Args:
        split: What to call the evaluator in a message.
        evaluator (dict | list, optional): Config.

    Raises:
        FileNotFoundError, ValueError: If one of them is not in COCO format.
    """
    for cfg in configs_of(evaluator):
        if not isinstance(cfg, dict) or is_remote(cfg):
            continue
        path = cfg.get('ann_file')
        if 'Coco' in str(cfg.get('type')) and isinstance(path, str):
            read_coco(path, _where(path, split))


def check_evaluator(split: str, loop, evaluator) -> None:
    """Compare the metrics of a loop with its data.

    What pycocotools would read wrongly is corrected in memory.

    Args:
        split: What to call the evaluator in a message.
        loop (Loop): Built validation or test loop.
        evaluator (dict | list, optional): Config of its evaluator.

    Raises:
        FileNotFoundError, ValueError: If it would stop, or give numbers of
            other data.
    """
    dataset = loop.dataloader.dataset
    metrics = getattr(getattr(loop, 'evaluator', None), 'metrics', ())
    if isinstance(getattr(dataset, 'metainfo', None), list) and metrics:
        names_of(dataset, split)
        raise MMKDValueError(
            f'The data sets of the {split} data have a different `metainfo`, '
            'which evaluators of MMDetection cannot read: give them the same, '
            "or name the keys that differ in `ignore_keys=['palette']`."
        )
    cfgs = configs_of(evaluator)
    if len(cfgs) != len(metrics):
        cfgs = [None] * len(metrics)
    for metric, cfg in zip(metrics, cfgs):
        method = getattr(type(metric), 'compute_metrics', None)
        name = getattr(method, '__qualname__', '')
        if name == 'CocoMetric.compute_metrics':
            _check_coco_metric(split, dataset, metric, cfg)
        elif name == 'VOCMetric.compute_metrics':
            _check_pipeline(
                split,
                dataset,
                'VOCMetric',
                "dict(type='LoadAnnotations', with_bbox=True)",
                lambda step: 'LoadAnnotations' in type(step).__name__,
            )


def _check_coco_metric(split: str, dataset, metric, cfg) -> None:
    _check_settings(split, metric)
    if metric._coco_api is None:
        _check_pipeline(
            split,
            dataset,
            'CocoMetric without `ann_file`',
            "`meta_keys=('img_id', 'instances', ...)` in PackDetInputs",
            lambda step: 'instances' in (setting(step, 'meta_keys') or ()),
        )
        return
    path = cfg.get('ann_file') if isinstance(cfg, dict) else None
    if isinstance(path, str) and os.path.isfile(path):
        where = _where(path, split)
        file = read_coco(path, where, needed=not metric.format_only)
    else:
        where = f'the annotation file of `{split}_evaluator`'
        content = metric._coco_api.dataset
        lists = {
            part: content.get(part) or []
            for part in ('images', 'categories', 'annotations')
        }
        file = to_file(
            lists, where, lambda part, key: part != 'images' or key == 'id'
        )
    classes = names_of(dataset, split) or file.classes
    check_categories(where, classes, file.category_ids, file.classes)
    _compare_images(split, dataset, file)
    if metric.format_only:
        return
    _check_annotations(file, classes, metric)
    _compare_boxes(split, dataset, file, path, classes)
    _repair(metric, file)


def _check_settings(split: str, metric) -> None:
    """Refuse settings with which pycocotools fails, or gives -1."""
    numbers = list(metric.proposal_nums)
    needed = {'bbox', 'segm'} & set(metric.metrics)
    if needed and (len(numbers) < 3 or _DETECTIONS not in numbers):
        raise MMKDValueError(
            f'Expected `proposal_nums` of `{split}_evaluator` to be three '
            f'numbers, {_DETECTIONS} among them, but got {numbers}: '
            'pycocotools would give -1 as mAP, or stop.'
        )
    unknown = set(metric.metric_items or ()) - set(METRIC_ITEMS)
    if unknown:
        raise MMKDValueError(
            f'{min(unknown)!r} in `metric_items` of `{split}_evaluator` is '
            f'no metric: expected {", ".join(METRIC_ITEMS)}.'
        )


def _check_pipeline(split: str, dataset, who: str, what: str, test) -> None:
    """Refuse a pipeline that does not pass on the boxes of the data."""
    for part in unwrap(dataset):
        steps = transforms(part)
        if steps and not any(map(test, steps)):
            raise MMKDValueError(
                f'{who} in `{split}_evaluator` compares with the boxes of the '
                f'data, but the pipeline of the {split} data does not hand '
                f'them on: add {what}.'
            )


def _compare_images(split: str, dataset, file: CocoFile) -> None:
    """Refuse a file with other images than the data."""
    named = dict(zip(file.image_ids, file.names))
    data: dict = {}
    for part in unwrap(dataset):
        for index in range(len(part)):
            info = part.get_data_info(index)
            key = info.get('img_id')
            name = os.path.basename(info.get('img_path', ''))
            if data.setdefault(key, name) != name:
                raise MMKDValueError(
                    f'Two images of the {split} data have the `id` {key!r}, '
                    f'{data[key]} and {name}, and pycocotools would take them '
                    'for one: number them anew.'
                )
    if not data:
        return
    unknown = [key for key in data if key not in named]
    renamed = [
        key
        for key in data
        if isinstance(named.get(key), str)
        and os.path.basename(named[key]) != data[key]
    ]
    if unknown or renamed:
        first = (unknown or renamed)[0]
        name = named.get(first)
        raise MMKDValueError(
            f'{len(unknown) + len(renamed)} of the {len(data)} images of the '
            f'{split} data are not those of {file.where}, {data[first]} '
            f'(id {first!r}) the first, which is '
            f'{repr(name) if name else "not there"}: give the annotation file '
            f'of the {split} data as `{split}_evaluator.ann_file`.'
        )
    lacking = np.array([key not in data for key in file.image_ids])
    if not lacking.any():
        return
    with_boxes = np.unique(file.image[file.image >= 0])
    first = file.names[int(lacking.argmax())]
    told = (
        f'{int(lacking.sum())} of the {len(lacking)} images in {file.where} '
        f'(first: {first}) are not among the {split} data'
    )
    if lacking[with_boxes].any():
        raise MMKDValueError(
            f'{told}, and their boxes would count as not found: give the '
            f'annotation file of the {split} data as '
            f'`{split}_evaluator.ann_file`, and take `indices` and '
            '`filter_cfg` out of the data set.'
        )
    warn(f'{told}: what would be found there by mistake is not counted.')


def _check_annotations(file: CocoFile, classes: Sequence, metric) -> None:
    """Warn of annotations that are not evaluated, or distort a metric."""
    trained = np.array([name in classes for name in file.classes] + [False])
    used = (file.image >= 0) & trained[file.category]
    if not (used & ~file.crowd).any():
        raise MMKDValueError(
            f'None of the {len(file)} annotations in {file.where} can be '
            'compared with: expected some of the classes '
            f'{few(classes)} that are no crowd (`iscrowd`) and whose '
            '`image_id` is there; correct them.'
        )
    for words, which in left_out(file, classes).items():
        if words.startswith(('have an `image_id`', 'have a `cat', 'are of')):
            warn(f'{file.count(which)} {words}: they are left out.')
        elif words.startswith(('are boxes', 'have `ignore`')):
            warn(
                f'{file.count(which)} {words}: pycocotools counts them as '
                'objects all the same, which makes the mAP lower if they are '
                'not found; take them out.'
            )
    # A tool may count the edge pixels on both sides.
    most = (file.boxes[:, 2:] + 2).prod(1)
    wrong = used & ~file.crowd & ((file.area > most) | (file.area <= 0))
    if wrong.any():
        warn(
            f'{file.count(wrong)} have an `area` that is 0 or more than that '
            'of their box: mAP_s, mAP_m and mAP_l sort by it and are not '
            'what they should be.'
        )
    warn_twice(file, used)
    if 'segm' in metric.metrics:
        check_masks(file, used, evaluated=True)


def _compare_boxes(
    split: str, dataset, file: CocoFile, path, classes: Sequence
) -> None:
    """Count images whose boxes differ between the data and the file."""
    sources = {getattr(part, 'ann_file', '') for part in unwrap(dataset)}
    if path is None or any(
        not os.path.isfile(source) or os.path.samefile(source, path)
        for source in sources
    ):
        return

    def boxes_of(one: CocoFile) -> dict:
        found: dict = {}
        for image, category, box in zip(one.image, one.category, one.boxes):
            if image >= 0 and category >= 0:
                entry = (one.classes[category], *box.round(1))
                found.setdefault(one.image_ids[image], []).append(entry)
        return {key: sorted(map(repr, found[key])) for key in found}

    told, data = boxes_of(file), {}
    for source in sources:
        data.update(
            boxes_of(read_coco(source, f'{source} of the {split} data', False))
        )
    wrong = [key for key in {**data, **told} if data.get(key) != told.get(key)]
    if wrong:
        warn(
            f'The annotations of {len(wrong)} of the {len(file.names)} images '
            f'in {file.where} (first: id {wrong[0]!r}) are others than those '
            f'in {few(sorted(sources))} of the {split} data: the metrics are '
            'those of the first.'
        )


def _repair(metric, file: CocoFile) -> None:
    """Set a missing `iscrowd` to 0, and renumber an `id` of 0."""
    api = metric._coco_api
    annotations = api.dataset.get('annotations') or []
    if file.no_crowd.any():
        warn(f'{file.count(file.no_crowd)} have no `iscrowd`: taken as 0.')
        for annotation in annotations:
            if annotation.get('iscrowd') is None:
                annotation['iscrowd'] = 0
    odd = np.array([isinstance(i, str) or i == 0 for i in file.ids], bool)
    if odd.any():
        warn(
            f'{file.count(odd)} have the `id` 0 or a text, which pycocotools '
            'takes for not found: the annotations are numbered from 1 in '
            'memory.'
        )
        for number, annotation in enumerate(annotations, 1):
            annotation['id'] = number
        api.createIndex()
        api.img_ann_map, api.cat_img_map = api.imgToAnns, api.catToImgs


def _where(path: str, split: str) -> str:
    return f'{path} of `{split}_evaluator`'
