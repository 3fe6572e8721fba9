"""Labels of a data set, by the index that its samples have."""

import numpy as np
import pytest
import torch
from mmengine.dataset import (
    ClassBalancedDataset,
    ConcatDataset,
    RepeatDataset,
)
from mmengine.registry import DefaultScope
from mmpretrain.datasets import BaseDataset, KFoldDataset
from mmpretrain.registry import DATASETS, TRANSFORMS
from torch.utils.data import Subset, TensorDataset

from mmkd_plugin.datasets.labels import labels_of


@pytest.fixture(autouse=True)
def scope():
    """As in a training of a classifier, whatever other tests left."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield


# KFoldDataset takes no object.
PAINTED = dict(type='Painted')
LABELS = [1, 0, 0, 2, 0, 1, 0, 0]


@TRANSFORMS.register_module()
class PaintLabel:
    """An image that shows its label."""

    def __call__(self, results):
        image = np.full((4, 4, 3), results['gt_label'], dtype=np.uint8)
        return dict(results, img=image)


@DATASETS.register_module()
class Painted(BaseDataset):
    METAINFO = dict(classes=('a', 'b', 'c'))

    def __init__(self, labels=LABELS):
        self.given = labels
        pipeline = [dict(type='PaintLabel'), dict(type='PackInputs')]
        super().__init__(ann_file='', pipeline=pipeline)

    def load_data_list(self):
        return [dict(gt_label=label) for label in self.given]


def test_labels_in_the_order_of_the_data_set():
    assert labels_of(Painted()).tolist() == LABELS


@pytest.mark.parametrize(
    'wrap',
    [
        lambda dataset: dataset,
        lambda dataset: RepeatDataset(dataset, times=2),
        lambda dataset: ClassBalancedDataset(dataset, oversample_thr=0.4),
        lambda dataset: KFoldDataset(PAINTED, fold=1, num_splits=2),
        lambda dataset: Subset(dataset, [5, 3]),
        lambda dataset: Subset(RepeatDataset(dataset, times=2), [12, 0]),
    ],
    ids=['alone', 'repeated', 'balanced', 'fold', 'subset', 'two'],
)
def test_sample_idx_finds_the_label(wrap):
    dataset = wrap(Painted())
    labels = labels_of(dataset)
    assert labels.dtype == torch.int64
    found = [dataset[i] for i in range(len(dataset))]
    assert found
    for each in found:
        index = each['data_samples'].sample_idx
        assert labels[index] == each['inputs'].max()


def test_in_memory():
    class InMemory:
        labels = torch.tensor([2, 0, 1])

    assert labels_of(InMemory()).tolist() == [2, 0, 1]


class ManyLabels(Painted):
    def get_gt_labels(self):
        return [[0, 1], [2], []]


@pytest.mark.parametrize(
    'dataset, name',
    [
        (ConcatDataset([Painted(), Painted()]), 'ConcatDataset'),
        (TensorDataset(torch.zeros(3)), 'TensorDataset'),
        (ManyLabels(), 'ManyLabels'),
        (Subset(ConcatDataset([Painted()] * 2), [0]), 'ConcatDataset'),
    ],
    ids=['several', 'none', 'many a sample', 'part of several'],
)
def test_refused(dataset, name):
    message = f'one data set that knows a label .*, but got {name}, which'
    with pytest.raises(TypeError, match=message):
        labels_of(dataset)
