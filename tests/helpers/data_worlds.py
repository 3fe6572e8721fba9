"""Small data of every kind, as files, and the check of a run with them."""

import json
import logging
from contextlib import contextmanager
from functools import cached_property
from types import SimpleNamespace
from unittest import mock

from mmengine.logging import MMLogger
from mmengine.registry import DATASETS, METRICS, DefaultScope
from PIL import Image

from mmkd_plugin.datasets.check import check_data

CLASSES = ('cat', 'dog', 'owl')
WIDTH, HEIGHT = 64, 48
STEPS = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(WIDTH, HEIGHT), keep_ratio=True),
    dict(type='PackDetInputs'),
]
MASK_STEPS = [
    STEPS[0],
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    *STEPS[2:],
]


def coco(first=1):
    """A COCO file of 4 images with 2 boxes each; ids begin with `first`."""
    boxes = [[4, 6, 20, 16], [30, 20, 24, 18]]
    return dict(
        images=[
            dict(id=i + first, file_name=f'{i}.png', width=64, height=48)
            for i in range(4)
        ],
        annotations=[
            dict(
                id=i + first,
                image_id=i // 2 + first,
                category_id=i % 3 + first,
                bbox=[x, y, w, h],
                area=w * h,
                iscrowd=0,
                segmentation=[[x, y, x + w, y, x + w, y + h, x, y + h]],
            )
            for i, (x, y, w, h) in enumerate(boxes * 4)
        ],
        categories=[
            dict(id=i + first, name=name, supercategory='none')
            for i, name in enumerate(CLASSES)
        ],
    )


def save_pictures(folder, number=4, size=(WIDTH, HEIGHT), ending='png'):
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(number):
        Image.new('RGB', size, (90, 40 * index, 20)).save(
            folder / f'{index}.{ending}'
        )


def save_coco(folder, name, edit=None):
    """Write a file; `edit` changes its content, or returns another text."""
    content = coco()
    text = edit(content) if edit else None
    if not isinstance(text, (str, bytes)):
        text = json.dumps(content if text is None else text)
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def coco_cfg(folder, name='train.json', **changes):
    """Config of a data set in a folder that `save_coco` wrote to."""
    return dict(
        type='CocoDataset',
        data_root=str(folder),
        ann_file=name,
        data_prefix=dict(img='images/'),
        metainfo=dict(classes=CLASSES),
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
        pipeline=STEPS,
    ) | dict(changes)


class Run:
    """As much of a runner as its data; built when it is asked for."""

    def __init__(self, scope='mmdet', **cfg):
        self.scope = scope
        self.cfg = cfg

    def build(self, split):
        loader = self.cfg.get(f'{split}_dataloader')
        if loader is None:
            return None
        evaluator = self.cfg.get(f'{split}_evaluator') or []
        if isinstance(evaluator, dict):
            evaluator = [evaluator]
        # MMEngine tidies up after each, which costs more than all the rest.
        with mock.patch('gc.collect'):
            dataset = DATASETS.build(loader['dataset'])
        return SimpleNamespace(
            dataloader=SimpleNamespace(dataset=dataset),
            evaluator=SimpleNamespace(
                metrics=list(map(METRICS.build, evaluator))
            ),
        )

    train_loop = cached_property(lambda self: self.build('train'))
    val_loop = cached_property(lambda self: self.build('val'))

    def check(self):
        """Check all data; return the warnings."""
        with (
            DefaultScope.overwrite_default_scope(self.scope),
            logged() as said,
        ):
            check_data(self, 'train', 'val')
        return said


@contextmanager
def logged():
    """Collect the warnings in the log."""
    said = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    try:
        yield said
    finally:
        logger.removeHandler(handler)


def check_coco(
    folder, train=None, val=None, truth=None, evaluator=None, **changes
):
    """Check a run on COCO files; return the warnings.

    Args:
        folder (Path): Empty.
        train, val (Callable): Change the content of the files.
        truth (Callable): Changes the evaluator's own file; None if that is
            the one of the validation data.
        evaluator (dict): Changes of its config.
        **changes: Of the config of the training data.
    """
    run = coco_run(folder, train, val, truth, evaluator, **changes)
    return run.check()


def coco_run(
    folder, train=None, val=None, truth=None, evaluator=None, **changes
):
    if not (folder / 'images').exists():
        save_pictures(folder / 'images')
    save_coco(folder, 'train.json', train)
    path = save_coco(folder, 'val.json', val)
    if truth:
        path = save_coco(folder, 'truth.json', truth)
    shared = {
        key: changes[key]
        for key in ('metainfo', 'data_prefix')
        if key in changes
    }
    data = coco_cfg(folder, 'val.json', test_mode=True, **shared)
    cfg = dict(type='CocoMetric', ann_file=path, metric='bbox')
    return Run(
        train_dataloader=dict(dataset=coco_cfg(folder, **changes)),
        val_dataloader=dict(dataset=data),
        val_evaluator=cfg | (evaluator or {}),
    )
