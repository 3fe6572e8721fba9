"""The COCO configs on real COCO files, where a few are at hand.

The folder is named by MMKD_DATA, or is `shared/data` beside the checkout; it
holds `coco_subset` in COCO's own layout.
"""

import json
import os
from pathlib import Path

import pytest
from mmengine.registry import DATASETS, init_default_scope

from mmkd_plugin.cli.launch import build_parser, load_config
from tests.helpers.data_worlds import MASK_STEPS, Run

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get('MMKD_DATA', ROOT.parent / 'shared' / 'data'))
COCO = DATA / 'coco_subset'

pytestmark = pytest.mark.skipif(
    not COCO.is_dir(), reason=f'no COCO images at {COCO}; set MMKD_DATA'
)


def load(name):
    init_default_scope('mmdet')
    config = ROOT / 'configs' / f'{name}.py'
    parser = build_parser('')
    return load_config(
        parser.parse_args([str(config), '--cfg-options', f'data_root={COCO}'])
    )


@pytest.fixture(scope='module')
def cfg():
    return load('frcnn_r101_r18_ckd')


@pytest.mark.parametrize('split', ['train', 'val'])
def test_every_image_and_box_is_read(cfg, split):
    dataset = DATASETS.build(cfg[f'{split}_dataloader'].dataset)
    file = COCO / 'annotations' / f'instances_{split}2017.json'
    truth = json.loads(file.read_text())
    boxes = [a for a in truth['annotations'] if not a['iscrowd']]
    with_boxes = {box['image_id'] for box in boxes}
    images = truth['images']
    if split == 'train':  # training leaves out images without a box
        images = [image for image in images if image['id'] in with_boxes]
    assert len(dataset) == len(images) > 40
    found = [
        instance
        for index in range(len(dataset))
        for instance in dataset.get_data_info(index)['instances']
        if not instance['ignore_flag']
    ]
    assert len(found) == len(boxes)
    names = {c['id']: c['name'] for c in truth['categories']}
    classes = dataset.metainfo['classes']
    assert sorted(classes[i['bbox_label']] for i in found) == sorted(
        names[box['category_id']] for box in boxes
    )


def test_pipeline_gives_the_student_its_input(cfg):
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    sample = dataset[0]
    height, width = sample['inputs'].shape[1:]
    assert min(height, width) == 800 or max(height, width) == 1333
    boxes = sample['data_samples'].gt_instances.bboxes.tensor
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert (boxes[:, 2] <= width).all() and (boxes[:, 3] <= height).all()


@pytest.mark.parametrize('name', ['frcnn_r50_ms', 'mask_rcnn_r50_ms'])
def test_pipeline_of_several_scales(name):
    """The sizes of the papers, with masks that fit the image."""
    dataset = DATASETS.build(load(name).train_dataloader.dataset)
    short_sides = set()
    for index in range(12):
        sample = dataset[index % 4]
        height, width = sample['inputs'].shape[1:]
        assert max(height, width) <= 1333
        if max(height, width) < 1333:
            short_sides.add(min(height, width))
        objects = sample['data_samples'].gt_instances
        if name.startswith('mask'):
            assert type(objects.masks).__name__ == 'PolygonMasks'
            assert len(objects.masks) == len(objects.bboxes)
            assert (objects.masks.height, objects.masks.width) == (
                height,
                width,
            )
    assert len(short_sides) > 1
    assert short_sides <= {640, 672, 704, 736, 768, 800}


SETS = {
    # Folders of images, files, and what the warnings are of.
    'coco_subset': (
        ('train2017', 'val2017'),
        ('instances_train2017', 'instances_val2017'),
        ['crowds', 'filter_empty_gt'],
    ),
    'bccd': (('images', 'images'), ('train', 'val'), []),
    'neu': (('images', 'images'), ('train', 'test'), ['of another one']),
}


@pytest.mark.parametrize('name', SETS)
def test_check_of_the_data_gives_no_false_alarm(name):
    init_default_scope('mmdet')
    folders, files, warnings = SETS[name]
    cfg = {}
    for split, folder, file in zip(('train', 'val'), folders, files):
        path = DATA / name / 'annotations' / f'{file}.json'
        if not path.is_file():
            pytest.skip(f'no file {path}')
        names = [c['name'] for c in json.loads(path.read_text())['categories']]
        cfg[f'{split}_dataloader'] = dict(
            dataset=dict(
                type='CocoDataset',
                ann_file=str(path),
                data_prefix=dict(img=str(DATA / name / folder)),
                metainfo=dict(classes=names),
                filter_cfg=dict(filter_empty_gt=True, min_size=32),
                test_mode=split == 'val',
                pipeline=[*MASK_STEPS[:2]],
            )
        )
    coco = name == 'coco_subset'  # the others have no masks
    loading = cfg['train_dataloader']['dataset']['pipeline'][1]
    cfg['train_dataloader']['dataset']['pipeline'][1] = dict(
        loading, with_mask=coco
    )
    metric = ['bbox', 'segm'] if coco else 'bbox'
    said = Run(
        **cfg,
        val_evaluator=dict(
            type='CocoMetric', ann_file=str(path), metric=metric
        ),
    ).check()
    assert len(said) == len(warnings), said
    assert all(words in text for words, text in zip(warnings, said))
