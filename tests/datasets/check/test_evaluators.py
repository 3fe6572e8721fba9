"""The evaluator's file, and the mAP that comes of it."""

import re

import pytest
import torch
from mmdet.utils import register_all_modules
from mmengine.registry import DefaultScope

from mmkd_plugin.datasets.check import check_data
from tests.helpers.coco_edits import change, rename
from tests.helpers.data_worlds import (
    CLASSES,
    STEPS,
    check_coco,
    coco_cfg,
    coco_run,
    logged,
)

register_all_modules(init_default_scope=False)


def evaluate(run):
    """The mAP of detections that are the annotations themselves."""
    metric = run.val_loop.evaluator.metrics[0]
    dataset = run.val_loop.dataloader.dataset
    metric.dataset_meta = dataset.metainfo
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        boxes = [entry['bbox'] for entry in info['instances']]
        labels = [entry['bbox_label'] for entry in info['instances']]
        found = dict(
            bboxes=torch.tensor(boxes).float().reshape(-1, 4),
            scores=torch.ones(len(boxes)),
            labels=torch.tensor(labels),
        )
        shape = (info['height'], info['width'])
        sample = dict(
            img_id=info['img_id'], ori_shape=shape, pred_instances=found
        )
        metric.process({}, [sample])
    return metric.compute_metrics(metric.results)['bbox_mAP']


@pytest.mark.parametrize(
    'edit, words',
    [
        (change('id', lambda a: a['id'] - 1), '1 of the 8 .* the `id` 0 or'),
        (change('id', lambda a: f'{a["id"]}'), '8 of the 8 .*the `id` 0 or'),
        (change('id', lambda a: f'x{a["id"]}'), '8 of the 8 .*the `id` 0 or'),
        (change('iscrowd', None), '8 of the 8 .*have no `iscrowd`'),
        (change('iscrowd', None, slice(1)), '1 of the 8 .*have no `iscrowd`'),
    ],
)
def test_map_of_perfect_detections_is_1(tmp_path, edit, words):
    run = coco_run(tmp_path, val=edit)
    (said,) = run.check()
    assert re.search(words, said)
    assert evaluate(run) == 1


def test_plain_pycocotools_is_wrong_at_id_0(tmp_path):
    run = coco_run(tmp_path, val=change('id', lambda a: a['id'] - 1))
    with DefaultScope.overwrite_default_scope('mmdet'):
        assert evaluate(run) < 1


@pytest.mark.parametrize(
    'words, edit',
    [
        ('boxes of less than 1 x 1', change('bbox', [3, 3, 0, 5], slice(1))),
        ('outside of their', change('bbox', [90, 3, 9, 9], slice(1))),
        ('have `ignore` set', change('ignore', 1, slice(1))),
        ('mAP_s, mAP_m and mAP_l', change('area', 0, slice(1))),
        ('mAP_s, mAP_m and mAP_l', change('area', 9999, slice(1))),
        ('does not have \\(7\\)', change('category_id', 7, slice(1))),
        ('no image has \\(7\\)', change('image_id', 7, slice(1))),
    ],
)
def test_what_changes_the_map_is_counted(tmp_path, words, edit):
    said = check_coco(tmp_path, val=edit)
    assert any(
        re.search(f'1 of the 8 .*val_evaluator.*{words}', text)
        for text in said
    ), said


def shift(content):
    for part, key in (('images', 'id'), ('annotations', 'image_id')):
        for entry in content[part]:
            entry[key] += 100


def without_first(content):
    del content['images'][0]


@pytest.mark.parametrize(
    'changes, words',
    [
        (dict(truth=rename), "4 of the 4 .*0.png .id 1. the first.*'x0.png'"),
        (dict(truth=shift), '4 of the 4 .*which is not there'),
        (dict(truth=without_first), '1 of the 4 .*which is not there'),
        (dict(val=without_first, truth=lambda c: None), 'count as not found'),
        (
            dict(truth=lambda c: c['categories'].reverse()),
            'categories in the order owl, dog, cat',
        ),
        (
            dict(truth=lambda c: c['categories'][0].update(name='Cat')),
            "'Cat' instead of 'cat'",
        ),
        (
            dict(truth=change('area', None, slice(1))),
            '1 of the 8 .*`val_evaluator` have no `area`',
        ),
        (dict(truth=lambda c: c.update(annotations=[])), 'None of the 0 ann'),
        (dict(truth=change('iscrowd', 1)), 'None of the 8 annotations'),
        (dict(truth=lambda c: b'\xff\xfe{}'), 'val_evaluator` is written in'),
        (dict(evaluator=dict(proposal_nums=(1, 10))), r'but got \[1, 10\]'),
        (dict(evaluator=dict(proposal_nums=(1, 10, 99))), 'give -1 as mAP'),
        (dict(evaluator=dict(metric_items=['AP'])), "'AP' in `metric_items`"),
        (dict(evaluator=dict(ann_file='no.json')), 'no.json of `val_ev'),
        (dict(evaluator=dict(ann_file=None)), "'instances', ..."),
    ],
)
def test_another_file_is_refused(tmp_path, changes, words):
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        check_coco(tmp_path, **changes)


def test_other_boxes_of_the_same_images_are_counted(tmp_path):
    truth = change('bbox', [1, 1, 9, 9], slice(1))
    said = check_coco(tmp_path, truth=truth)
    assert any('of 1 of the 4 images' in text for text in said), said


def test_evaluators_in_a_list(tmp_path):
    run = coco_run(tmp_path, truth=rename)
    wrong = run.cfg['val_evaluator']
    right = dict(wrong, ann_file=str(tmp_path / 'val.json'))
    run.cfg['val_evaluator'] = [right, wrong]
    with pytest.raises(ValueError, match='not those of'):
        run.check()


def test_evaluator_without_config(tmp_path):
    """Metrics may be built before they come into the runner."""
    run = coco_run(tmp_path, val=change('id', lambda a: a['id'] - 1))
    with DefaultScope.overwrite_default_scope('mmdet'), logged() as said:
        run.val_loop  # noqa: B018
        del run.cfg['val_evaluator']
        check_data(run, 'val')
    assert 'annotation file of `val_evaluator`' in said[0]
    assert evaluate(run) == 1


def test_results_that_are_only_written_need_no_boxes(tmp_path):
    written = dict(format_only=True, outfile_prefix=str(tmp_path / 'out'))
    said = check_coco(
        tmp_path,
        val=lambda c: c.pop('annotations') and None,
        evaluator=written,
    )
    assert said == []


def test_data_as_the_truth(tmp_path):
    run = coco_run(tmp_path, evaluator=dict(ann_file=None))
    steps = [*STEPS[:2], dict(type='PackDetInputs', meta_keys=('instances',))]
    run.cfg['val_dataloader']['dataset']['pipeline'] = steps
    assert run.check() == []
    run = coco_run(tmp_path)
    run.cfg['val_evaluator'] = dict(type='VOCMetric')
    run.cfg['val_dataloader']['dataset']['pipeline'] = [STEPS[0], *STEPS[2:]]
    with pytest.raises(ValueError, match="add dict.type='LoadAnnotations'"):
        run.check()


def test_part_of_the_data(tmp_path):
    run = coco_run(tmp_path)
    run.cfg['val_dataloader']['dataset']['indices'] = 2
    with pytest.raises(ValueError, match='take `indices`'):
        run.check()


def test_two_files_with_the_same_ids(tmp_path):
    run = coco_run(tmp_path, truth=rename)
    (tmp_path / 'images' / 'x').mkdir()
    parts = [coco_cfg(tmp_path, n, test_mode=True) for n in ('val', 'truth')]
    for part, name in zip(parts, ('val.json', 'truth.json')):
        part['ann_file'] = name
    for index in range(4):
        old = tmp_path / 'images' / f'{index}.png'
        (tmp_path / 'images' / f'x{index}.png').write_bytes(old.read_bytes())
    run.cfg['val_dataloader']['dataset'] = dict(
        type='ConcatDataset', datasets=parts
    )
    with pytest.raises(ValueError, match='have the `id` 1, 0.png and x0.png'):
        run.check()


def test_concat_of_other_metainfo(tmp_path):
    palettes = [[(i, 0, 0)] * 3 for i in range(2)]
    for split, test in (('train', False), ('val', True)):
        run = coco_run(tmp_path)
        run.cfg[f'{split}_dataloader']['dataset'] = dict(
            type='ConcatDataset',
            datasets=[
                coco_cfg(
                    tmp_path,
                    metainfo=dict(classes=CLASSES, palette=palette),
                    test_mode=test,
                )
                for palette in palettes
            ],
        )
        if split == 'train':
            run.check()
        else:
            with pytest.raises(ValueError, match='a different `metainfo`'):
                run.check()
