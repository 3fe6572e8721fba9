"""Folders of images, lists of labels, wrappers and other data sets."""

import pytest
from mmdet.utils import register_all_modules
from mmpretrain.utils import register_all_modules as register_mmpretrain

from tests.helpers.data_worlds import (
    CLASSES,
    Run,
    coco_run,
    save_pictures,
)
from tests.helpers.folder_data import LOAD, check_folders, entry, own

register_all_modules(init_default_scope=False)
register_mmpretrain(init_default_scope=False)


def test_good_folders_pass(tmp_path):
    assert check_folders(tmp_path) == []
    assert check_folders(tmp_path, classes=CLASSES) == []
    assert check_folders(tmp_path, classes=('a', 'b', 'c')) == []
    assert check_folders(tmp_path, with_label=False) == []
    assert check_folders(tmp_path, type='ImageNet', classes=CLASSES) == []


@pytest.mark.parametrize(
    'changes, words',
    [
        (dict(classes=('owl', 'dog', 'cat')), 'in the order cat, dog, owl'),
        (dict(classes=('cat', 'dog')), "3 folders .*; 'owl' is none"),
        (dict(classes='cat'), 'cat'),
        (dict(metainfo=dict(CLASSES=CLASSES)), 'in lower case'),
        (dict(type='ImageNet'), '3 folders .* has 1000 names'),
        (dict(extensions=('.jpg',)), r'12 of the 12 files.*\.png.*no image'),
        (dict(data_prefix='no'), 'The folder .*no of the train data was not'),
        (
            dict(data_prefix='train/cat'),
            'has no folder: expected one per class',
        ),
    ],
)
def test_folders_that_do_not_fit(tmp_path, changes, words):
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        check_folders(tmp_path, **changes)


def test_class_that_one_split_lacks(tmp_path):
    for name in CLASSES[:2]:
        save_pictures(tmp_path / 'val' / name)
    (tmp_path / 'val' / 'owl').mkdir()
    said = check_folders(tmp_path)
    assert any('1 of the 3 folders' in text for text in said)
    (tmp_path / 'val' / 'owl').rmdir()
    save_pictures(tmp_path / 'val' / 'yak')
    run = {}
    for split in ('train', 'val'):
        run[f'{split}_dataloader'] = dict(
            dataset=dict(
                type='CustomDataset',
                data_root=str(tmp_path / split),
                pipeline=LOAD,
            )
        )
    with pytest.raises(ValueError, match='classes cat, dog, owl .3. and the'):
        Run('mmpretrain', **run).check()


def test_files_in_folders(tmp_path):
    save_pictures(tmp_path / 'train' / 'cat')
    (tmp_path / 'train' / 'cat' / 'a.heic').write_bytes(b'1')
    (tmp_path / 'train' / 'a.png').write_bytes(b'1')
    said = check_folders(tmp_path)
    assert '1 images in' in said[0] and 'lie in no folder' in said[0]
    assert '1 of the 14 files' in said[1] and '.heic' in said[1]
    (tmp_path / 'train' / '.ipynb_checkpoints').mkdir()
    with pytest.raises(ValueError, match="'.ipynb_checkpoints' in"):
        check_folders(tmp_path)


@pytest.mark.parametrize(
    'text, words',
    [
        ('cat/0.png 0\n\n', "Line 2 of .* is ''"),
        ('cat/0.png\n', 'expected NAME LABEL'),
        ('cat/0.png cat\n', 'expected NAME LABEL'),
        ('cat/0.png -1\n', 'expected NAME LABEL'),
        ('cat/0.png 1.0\n', 'expected NAME LABEL'),
        ('cat/0.png 3\n', 'the label 3, but there are 3 classes'),
        ('cat/9.png 0\n', '1 of the 1 images'),
        ('', 'lists no image'),
    ],
)
def test_list_of_labels(tmp_path, text, words):
    (tmp_path / 'list.txt').write_text(text)
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        check_folders(tmp_path, classes=CLASSES, ann_file='list.txt')


def test_list_that_is_right(tmp_path):
    (tmp_path / 'list.txt').write_text('cat/0.png 0\nowl/1.png 2\n')
    cfg = dict(classes=CLASSES, ann_file='list.txt')
    assert check_folders(tmp_path, **cfg) == []


@pytest.mark.parametrize(
    'wrap',
    [
        lambda d: dict(type='RepeatDataset', times=2, dataset=d),
        lambda d: dict(type='ConcatDataset', datasets=[d, d]),
        lambda d: dict(
            type='ClassBalancedDataset', oversample_thr=0.1, dataset=d
        ),
        lambda d: dict(
            type='MultiImageMixDataset',
            dataset=d,
            pipeline=[dict(type='RandomFlip', prob=0.5)],
        ),
        lambda d: dict(
            type='RepeatDataset',
            times=2,
            dataset=dict(type='ConcatDataset', datasets=[d]),
        ),
    ],
)
def test_wrapped_data(tmp_path, wrap):
    run = coco_run(tmp_path)
    loader = run.cfg['train_dataloader']
    loader['dataset'] = wrap(loader['dataset'])
    assert run.check() == []

    def crowds(content):
        for each in content['annotations']:
            each['iscrowd'] = 1

    run = coco_run(tmp_path, crowds)
    loader = run.cfg['train_dataloader']
    loader['dataset'] = wrap(loader['dataset'])
    with pytest.raises(ValueError, match='8 of its 8 annotations are crowds'):
        run.check()


def test_parts_of_other_classes(tmp_path):
    run = coco_run(tmp_path)
    part = run.cfg['train_dataloader']['dataset']
    other = dict(part, metainfo=dict(classes=('cat', 'dog')))
    run.cfg['train_dataloader']['dataset'] = dict(
        type='ConcatDataset', datasets=[part, other]
    )
    with pytest.raises(ValueError, match='train data have other classes'):
        run.check()


def test_own_format(tmp_path):
    meta = dict(classes=CLASSES)
    good = dict(metainfo=meta, data_list=[entry()])
    assert own(good, tmp_path) == []
    for wrong, words in (
        (entry(bbox_label=3), 'the label 3, but there are 3 classes'),
        (entry(bbox_label=-1), 'the label -1'),
        (entry(bbox=[4, 6, 2, 22]), r'the `bbox` \[4, 6, 2, 22\]'),
        (entry(bbox=[4, 6, 24]), r'the `bbox` \[4, 6, 24\]'),
        (entry(bbox=[4, 6, 24, float('nan')]), 'the `bbox`'),
        (dict(entry(), width=65), 'not of the size'),
        (dict(entry(), img_path='9.png'), 'missing or empty'),
        (dict(entry(), instances=[]), 'has a box to train on'),
    ):
        content = dict(metainfo=meta, data_list=[wrong])
        with pytest.raises((ValueError, FileNotFoundError), match=words):
            own(content, tmp_path)
    with pytest.raises(ValueError, match='expected `metainfo`; take type'):
        own(dict(images=[]), tmp_path)


def test_readers_of_another_kind_are_left_alone(tmp_path):
    """A file of segments is no file of boxes."""
    from mmdet.datasets import (
        CocoDataset,
        CocoPanopticDataset,
        LVISV1Dataset,
        Objects365V1Dataset,
        OpenImagesDataset,
    )

    from mmkd_plugin.datasets.check.introspection import reads_coco

    assert reads_coco(CocoDataset)
    for kind in (
        CocoPanopticDataset,
        LVISV1Dataset,
        Objects365V1Dataset,
        OpenImagesDataset,
    ):
        assert not reads_coco(kind)
