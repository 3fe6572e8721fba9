"""Checkpoints that hold a backbone alone, or more than the teacher has."""

import pytest
import torch

from mmkd_plugin.teachers import Teacher
from tests.helpers import tiny_vit

HEAD = dict(type='LinearClsHead', num_classes=3, in_channels=tiny_vit.WIDTH)
OWN = dict(part='backbone')


@pytest.fixture
def saved(tmp_path):
    """Saves weights; returns the `teacher` argument of a ViT without head."""

    def save(state, **kwargs):
        cfg = tiny_vit.save_vit(tmp_path / 'vit.pth', **kwargs)
        torch.save(state, tmp_path / 'vit.pth')
        return cfg

    return save


def backbone():
    return tiny_vit.build_vit(3).backbone


def with_more():
    """As of a training without labels: also its own head."""
    state = tiny_vit.build_vit(3).state_dict()
    return {**state, 'head.mlp.weight': torch.ones(2, 2)}


@pytest.mark.parametrize(
    'state, options',
    [
        (lambda: backbone().state_dict(), OWN),
        (with_more, dict(OWN, prefix='backbone.')),
    ],
)
def test_backbone_is_read_strictly(saved, state, options):
    cfg = saved(state())
    with pytest.raises(
        ValueError, match='backbone alone, set .*`part'
    ) as error:
        Teacher(**cfg)
    for name, value in options.items():
        assert f'`{name}={value!r}`' in str(error.value)
    teacher = Teacher(**cfg, **options)
    wanted = backbone().state_dict()
    got = teacher.model.backbone.state_dict()
    assert wanted.keys() == got.keys()
    assert all(torch.equal(wanted[name], got[name]) for name in wanted)


def test_nothing_stays_random(saved):
    """A head that the file does not hold, and a layer."""
    cfg = saved(backbone().state_dict(), head=HEAD)
    with pytest.raises(
        ValueError, match='2 missing .head.fc.weight.*set `neck=None` and '
    ):
        Teacher(**cfg, **OWN)
    state = backbone().state_dict()
    del state['layers.1.attn.qkv.weight']
    with pytest.raises(ValueError, match='1 missing .backbone.layers.1.attn'):
        Teacher(**saved(state), **OWN)


def test_embeddings_of_another_size(saved):
    cfg = saved(tiny_vit.build_vit().state_dict(), size=96)
    with pytest.raises(
        ValueError, match='of another shape .*pos_embed.* set `img_size` of'
    ):
        Teacher(**cfg)


@pytest.mark.parametrize('part', [None, 5])
def test_argument(saved, part):
    cfg = saved(backbone().state_dict())
    with pytest.raises(TypeError, match='`teacher.part` to be text'):
        Teacher(**cfg, part=part)
