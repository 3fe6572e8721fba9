"""Small classifiers with the backbones whose stages are compared."""

import torch
from mmengine.registry import MODELS, DefaultScope
from mmpretrain.utils import register_all_modules
from torch.nn import functional as F

WIDE = (32, 64, 128, 256)
R56 = dict(type='CIFARResNet', depth=20)
# Backbone -> channels and height of its stages, of 32 x 32 pixels, and how
# the stage follows from the map before its ReLU.
NETWORKS = {
    'resnet20': (R56, '16@32 32@16 64@8', F.relu),
    'resnet8x4': (
        dict(type='CIFARResNet', depth=8, channels=WIDE),
        '64@32 128@16 256@8',
        F.relu,
    ),
    'wrn_16_2': (
        dict(type='CIFARWideResNet', depth=16, widen_factor=2),
        '32@32 64@16 128@8',
        None,  # the next batch norm
    ),
    'vgg8': (
        dict(type='CIFARVGG', depth=8),
        '128@16 256@8 512@4 512@4',
        F.relu,
    ),
    'vgg13': (
        dict(type='CIFARVGG', depth=13),
        '128@16 256@8 512@4 512@4',
        F.relu,
    ),
    'shufflev1': (
        dict(type='CIFARShuffleNetV1'),
        '240@16 480@8 960@4',
        F.relu,
    ),
    'shufflev2': (
        dict(type='CIFARShuffleNetV2'),
        '116@16 232@8 464@4',
        lambda before: F.channel_shuffle(before, 2).relu(),
    ),
    'mobilenetv2': (
        dict(type='CIFARMobileNetV2'),
        '12@16 16@8 48@4 160@2',
        None,  # refused
    ),
    'resnet50': (
        dict(type='ResNet_CIFAR', depth=50),
        '256@32 512@16 1024@8 2048@4',
        F.relu,
    ),
    # Of 32 pixels too: its strides are 4 to 32.
    'mobilenetv1': (
        dict(type='MobileNetV1'),
        '128@8 256@4 512@2 1024@1',
        F.relu,
    ),
    'resnet18': (
        dict(type='ResNet', depth=18),
        '64@8 128@4 256@2 512@1',
        F.relu,
    ),
}


def build(name):
    """A classifier of that backbone, in training."""
    register_all_modules(init_default_scope=False)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(
            dict(
                type='ImageClassifier',
                backbone=NETWORKS[name][0],
                neck=dict(type='GlobalAveragePooling'),
            )
        ).train()
