"""Backbones of timm as teachers of maps, where it is installed."""

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import MODELS, DefaultScope

from mmkd_plugin.teachers import Teacher
from tests.helpers import tiny, tiny_vit

pytest.importorskip('timm')
pytestmark = pytest.mark.slow

DINOV3 = 'vit_tiny_patch16_dinov3_qkvb'
DINOV2 = 'vit_small_patch14_dinov2'


def save(path, name, **kwargs):
    """Save random weights of a backbone; return a `teacher`."""
    tiny_vit.build_vit()
    cfg = ConfigDict(
        tiny_vit.vit_cfg(),
        backbone=dict(
            type='TIMMBackbone',
            model_name=name,
            features_only=True,
            out_indices=[11],
            **kwargs,
        ),
    )
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        state = MODELS.build(cfg).state_dict()
    torch.save(state, path)
    return dict(
        config=dict(default_scope='mmpretrain', model=cfg),
        checkpoint=str(path),
    )


def places(teacher):
    student = tiny.build_detector()
    teacher.prepare(student, intact=True)
    data = student.data_preprocessor(tiny.batch(0, 1), True)
    teacher.see(data['inputs'], data['data_samples'])
    return teacher.answer(lambda model, maps: maps[0].shape[-2:])


@pytest.mark.parametrize(
    'name, options, size, wanted',
    [
        (DINOV3, {}, None, (6, 8)),
        (DINOV3, {}, (256, 256), (16, 16)),
        (DINOV2, dict(dynamic_img_size=True), 14 / 16, (6, 8)),
        (DINOV2, {}, (518, 518), (37, 37)),
    ],
)
def test_gives_maps(tmp_path, name, options, size, wanted):
    cfg = save(tmp_path / 't.pth', name, **options)
    assert places(Teacher(**cfg, input_size=size)) == wanted


@pytest.mark.parametrize(
    'options, reason',
    [
        ({}, "Input height .96. doesn't match model .518.."),
        (dict(dynamic_img_size=True), 'should be divisible by patch size'),
    ],
)
def test_refuses_a_size_in_a_sentence(tmp_path, options, reason):
    cfg = save(tmp_path / 't.pth', DINOV2, **options)
    with pytest.raises(
        ValueError, match=rf'518 x 518 .* 96 x 128 .*{reason}.*`input_size='
    ):
        places(Teacher(**cfg))
