"""Runs of MMEngine that distil a detector of the DETR family."""

import pytest
import torch

import mmkd_plugin  # noqa: F401
from tests.helpers import tiny_detr
from tests.helpers.detector_runs import hook_cfg, make_runner
from tests.helpers.detr_runs import KINDS


def losses(crossed):
    return dict(
        loss_binarykd=dict(
            type='BinaryKDLoss',
            tau=1.0,
            tap=dict(type='DETRHeadTap', crossed=crossed),
        ),
        loss_box=dict(
            type='BoxL1Loss', tap=dict(type='DETRBoxTap', crossed=crossed)
        ),
        loss_pkd=dict(
            type='PKDLoss', loss_weight=1.0, tap=dict(type='EncoderTap')
        ),
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    'name, crossed', [('plain', False), ('two_stage', True), ('dino', False)]
)
def test_four_steps(tmp_path, name, crossed):
    """What is saved is the plain student, moved by every step."""
    kind = KINDS[name]
    teacher = tiny_detr.save_teacher(tmp_path / 't.pth', 7, *kind, width=16)
    model = tiny_detr.detr_cfg(*kind)
    runner = make_runner(
        tmp_path,
        [hook_cfg(teacher, losses=losses(crossed))],
        model=model,
        optim_wrapper=dict(
            optimizer=dict(type='AdamW', lr=1e-3),
            clip_grad=dict(max_norm=0.1),
        ),
    )
    start = {k: v.clone() for k, v in runner.model.state_dict().items()}
    runner.train()
    assert runner.iter == 4
    scalars = runner.message_hub.log_scalars
    for term in losses(crossed):
        values = scalars[f'train/{term}'].data[0]
        assert len(values) == 4 and (values > 0).all()
    saved = torch.load(tmp_path / 'work/epoch_1.pth', weights_only=False)
    plain = tiny_detr.build_detr(3, *kind)
    plain.load_state_dict(saved['state_dict'])
    moved = [
        name
        for name, value in plain.named_parameters()
        if not torch.equal(value, start[name])
    ]
    assert {'backbone', 'neck', 'encoder', 'decoder', 'bbox_head'} <= {
        name.split('.')[0] for name in moved
    }
