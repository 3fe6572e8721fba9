"""Small real image classifiers and data for the tests."""

import numpy as np
import torch
from mmengine.config import ConfigDict
from mmengine.registry import DATASETS, MODELS, DefaultScope
from mmpretrain.structures import DataSample
from mmpretrain.utils import register_all_modules
from torch.utils.data import Dataset

CLASSES = ('cat', 'dog', 'owl')
NORM = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])


def classifier_cfg(width=4, num_classes=3, head=None, **kwargs):
    """Config of an ImageClassifier with a ResNet of 8 layers.

    Args:
        width (int): Channels of the first stage.
        num_classes (int): C.
        head (dict): Changes of the head.
        **kwargs: Arguments of the data preprocessor.
    """
    channels = (width, width, 2 * width, 2 * width)
    return ConfigDict(
        type='ImageClassifier',
        data_preprocessor={
            'type': 'ClsDataPreprocessor',
            'num_classes': num_classes,
            **NORM,
            **kwargs,
        },
        backbone=dict(type='CIFARResNet', depth=8, channels=channels),
        neck=dict(type='GlobalAveragePooling'),
        head={
            'type': 'LinearClsHead',
            'num_classes': num_classes,
            'in_channels': channels[-1],
            'loss': dict(type='CrossEntropyLoss', loss_weight=1.0),
            **(head or {}),
        },
    )


def build_classifier(seed=0, **kwargs):
    """Build a classifier of `classifier_cfg` with weights from a seed."""
    register_all_modules(init_default_scope=False)
    torch.manual_seed(seed)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(classifier_cfg(**kwargs))
    model.init_weights()
    # The head's own initialisation is so small that all logits are alike.
    torch.nn.init.normal_(model.head.fc.weight)
    return model


def save_teacher(path, seed=7, classes=None, **kwargs):
    """Save a classifier's weights; return the hook's `teacher` argument."""
    model = build_classifier(seed, **kwargs)
    meta = dict(dataset_meta=dict(classes=classes)) if classes else {}
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
    return dict(
        config=dict(
            default_scope='mmpretrain', model=classifier_cfg(**kwargs)
        ),
        checkpoint=str(path),
    )


@DATASETS.register_module()
class Pictures(Dataset):
    """Noise images of one size, each of one class."""

    def __init__(self, length=8):
        self.length = length
        self.metainfo = dict(classes=CLASSES)

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        if index >= self.length:
            raise IndexError(index)
        rng = np.random.default_rng(index)
        image = rng.integers(0, 256, (3, 16, 16), dtype=np.uint8)
        sample = DataSample(metainfo=dict(img_shape=(16, 16)))
        sample.set_gt_label(index % 3)
        return dict(inputs=torch.from_numpy(image), data_samples=sample)


def batch(*indices):
    """Samples of `Pictures` as a data loader hands them out."""
    samples = [Pictures()[index] for index in indices]
    return {key: [sample[key] for sample in samples] for key in samples[0]}
