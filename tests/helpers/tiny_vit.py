"""Small real vision transformers as teachers of feature maps."""

import torch
from mmengine.config import ConfigDict
from mmengine.registry import MODELS, DefaultScope
from mmpretrain.utils import register_all_modules

from tests.helpers.tiny_cls import NORM

WIDTH = 32
ARCH = dict(
    embed_dims=WIDTH, num_layers=2, num_heads=2, feedforward_channels=64
)


def vit_cfg(patch=16, size=64, head=None, **backbone):
    """Config of an ImageClassifier that gives the maps of a ViT.

    Args:
        patch (int): Height and width of a patch.
        size (int): Of the images that it is built for.
        head (dict): Its head; by default it has none.
        **backbone: Changes of the backbone.
    """
    return ConfigDict(
        type='ImageClassifier',
        data_preprocessor=dict(
            type='ClsDataPreprocessor', to_rgb=True, **NORM
        ),
        backbone={
            'type': 'VisionTransformer',
            'arch': ARCH,
            'img_size': size,
            'patch_size': patch,
            'out_type': 'featmap',
            **backbone,
        },
        neck=None,
        head=head,
    )


def build_vit(seed=0, **kwargs):
    """Build a model of `vit_cfg` with weights from a seed."""
    register_all_modules(init_default_scope=False)
    torch.manual_seed(seed)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(vit_cfg(**kwargs))
    model.init_weights()
    return model


def save_vit(path, seed=7, **kwargs):
    """Save a ViT's weights; return the hook's `teacher` argument."""
    model = build_vit(seed, **kwargs)
    torch.save(dict(state_dict=model.state_dict(), meta={}), path)
    return dict(
        config=dict(default_scope='mmpretrain', model=vit_cfg(**kwargs)),
        checkpoint=str(path),
    )
