"""random_images.py: noise in the place of training data."""

import pytest
import random_images
from mmengine.registry import DefaultScope

from tests.helpers import tiny, tiny_cls


@pytest.mark.parametrize(
    'steps, size',
    [
        ([dict(type='Resize', scale=(192, 144), keep_ratio=True)], (192, 144)),
        ([dict(type='RandomResizedCrop', scale=224)], (224, 224)),
        (
            [dict(scale=256, edge='short'), dict(crop_size=(64, 32))],
            (64, 32),
        ),
        ([dict(scales=[(1333, 640), (1333, 800)])], (1333, 800)),
        (
            [dict(transforms=[[dict(scale=(8, 9))], [dict(scale=(5, 6))]])],
            (5, 6),
        ),
        # Shares of an image, and a number of channels.
        ([dict(scale=(0.1, 2.0)), dict(size=(3, 8, 8))], None),
        ([], None),
    ],
)
def test_size_is_that_of_the_pipeline(steps, size):
    inner = dict(type='CocoDataset', pipeline=[dict(type='Load'), *steps])
    assert random_images.find_size(inner) == size
    wrapped = dict(type='RepeatDataset', times=2, dataset=inner)
    assert random_images.find_size(wrapped) == size


def test_size_of_cifar_needs_no_pipeline():
    cfg = dict(type='InMemoryCIFAR100', data_root='x', padding=4)
    assert random_images.find_size(cfg) == (32, 32)


def test_classes_are_those_of_the_config_or_its_type():
    tiny.build_detector()
    with DefaultScope.overwrite_default_scope('mmdet'):
        find = random_images.find_classes
        assert len(find(dict(type='CocoDataset'))) == 80
        own = dict(type='CocoDataset', metainfo=dict(classes=('a', 'b')))
        assert find(own) == ('a', 'b')
        assert find(dict(type='RepeatDataset', dataset=own)) == ('a', 'b')
        assert find(dict(type='ConcatDataset', datasets=[own])) == ('a', 'b')
        # A path of a file with the names, and a type that knows none.
        assert find(dict(type='Boxes', metainfo=dict(classes='x'))) is None


def test_boxes_lie_in_the_image_and_train_a_detector():
    data = random_images.RandomImages(
        (100, 60), tiny.CLASSES, boxes=True, masks=True
    )
    first, second = (data[index] for index in range(len(data)))
    assert first['inputs'].shape == (3, 60, 100)
    assert not first['inputs'].equal(second['inputs'])
    boxes = first['data_samples'].gt_instances.bboxes
    assert (boxes[:, 2:] - boxes[:, :2] >= boxes.new_tensor([25, 15])).all()
    assert (boxes >= 0).all()
    assert (boxes <= boxes.new_tensor([100, 60, 100, 60])).all()
    model = tiny.build_detector(mask=True)
    batch = {key: [first[key], second[key]] for key in first}
    batch = model.data_preprocessor(batch, True)
    losses = model.train()(**batch, mode='loss')
    assert {'loss_cls', 'loss_bbox', 'loss_mask'} <= set(losses)


def test_labels_train_a_classifier():
    data = random_images.RandomImages((16, 16), tiny_cls.CLASSES)
    batch = {key: [data[0][key], data[1][key]] for key in data[0]}
    model = tiny_cls.build_classifier()
    batch = model.data_preprocessor(batch, True)
    assert [x.gt_label.item() for x in batch['data_samples']] == [0, 1]
    assert model.train()(**batch, mode='loss')['loss'] > 0
