"""Teachers of MMPretrain for detectors, with the weights of its zoo."""

from pathlib import Path

import pytest
import torch
from mmengine.registry import HOOKS

from mmkd_plugin.teachers.config import build_model, load_config
from tests.helpers.det_configs import CONFIGS, build, load

mmpretrain = pytest.importorskip('mmpretrain')

CONFIG = CONFIGS / 'frcnn_dinov2-b_r50_cosine.py'


def zoo():
    """The entry of the zoo of this teacher."""
    yaml = pytest.importorskip('yaml')
    path = Path(mmpretrain.__file__).parent / '.mim/configs/dinov2'
    entries = yaml.safe_load((path / 'metafile.yml').read_text())['Models']
    return next(e for e in entries if 'vit-base-p14' in e['Name'])


def test_teacher_is_that_of_its_weights():
    (hook,) = load(CONFIG).custom_hooks
    entry = zoo()
    assert Path(hook.teacher.checkpoint).name == Path(entry['Weights']).name
    wanted = load_config(
        f'mmpretrain::{entry["Config"].removeprefix("configs/")}'
    )
    model = load_config(hook.teacher.config).model.to_dict()
    own = model.pop('data_preprocessor')
    assert own.pop('type') == 'ClsDataPreprocessor'
    assert own == dict(wanted.data_preprocessor)
    assert model['backbone'].pop('out_type') == 'featmap'
    assert model == wanted.model.to_dict()


@pytest.mark.slow
def test_maps_pair_without_being_resized():
    """Patches of 14 pixels at 14 / 16 of the size are the places of p4."""
    cfg = load(CONFIG)
    (hook,) = cfg.custom_hooks
    ((loss, tap),) = HOOKS.build(hook).distiller.terms.values()
    assert hook.teacher.input_size == 14 / 16
    assert not tap.resize and tap.levels == ('p4',)
    backbone = hook.teacher.config.model.backbone
    # A layer is enough for the shapes.
    backbone.arch = dict(
        embed_dims=768, num_layers=1, num_heads=12, feedforward_channels=8
    )
    teacher = build_model(load_config(hook.teacher.config)).eval()
    with torch.no_grad():
        (target,) = teacher.extract_feat(torch.zeros(1, 3, 84, 112))
        own = build(cfg.model).extract_feat(torch.zeros(1, 3, 96, 128))[2]
    assert target.shape[-2:] == own.shape[-2:]
    (adapter,) = loss.adapters
    assert adapter(own).shape == target.shape
