"""Detectors of rotated boxes, where MMRotate is installed."""

import copy
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope, init_default_scope

from mmkd_plugin.distill import Distiller
from mmkd_plugin.teachers import Teacher
from tests.helpers import tiny

mmrotate = pytest.importorskip('mmrotate')
pytestmark = pytest.mark.slow

CONFIGS = Path(mmrotate.__file__).parent / '.mim' / 'configs'
TWO_STAGE = {
    'rotated Faster R-CNN': (
        'rotated_faster_rcnn/rotated-faster-rcnn-le90_r50_fpn_1x_dota.py'
    ),
    'Oriented R-CNN': 'oriented_rcnn/oriented-rcnn-le90_r50_fpn_1x_dota.py',
    'Gliding Vertex': 'gliding_vertex/gliding-vertex-rbox_r50_fpn_1x_dota.py',
}
ONE_STAGE = {
    'rotated RetinaNet': (
        'rotated_retinanet/rotated-retinanet-rbox-le90_r50_fpn_1x_dota.py'
    ),
    'rotated FCOS': 'rotated_fcos/rotated-fcos-le90_r50_fpn_1x_dota.py',
    'rotated ATSS': 'rotated_atss/rotated-atss-le90_r50_fpn_1x_dota.py',
    'R3Det': 'r3det/r3det-oc_r50_fpn_1x_dota.py',
    'rotated RTMDet': 'rotated_rtmdet/rotated_rtmdet_tiny-3x-dota.py',
}
CASCADES = {
    'RoI Transformer': 'roi_trans/roi-trans-le90_r50_fpn_1x_dota.py',
}


def config_of(path):
    """A model of MMRotate's, without what would load weights."""
    from mmrotate.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    cfg = Config.fromfile(CONFIGS / path)
    model = cfg.model
    model.backbone.pop('init_cfg', None)
    if 'depth' in model.backbone:
        model.backbone.update(depth=18)
        model.neck.in_channels = [64, 128, 256, 512]
    return on_the_cpu(model)


def on_the_cpu(node):
    """Replace, in place, the loss that mmcv computes on a GPU only."""
    if isinstance(node, dict):
        if node.get('type') == 'RotatedIoULoss':
            node.clear()
            node.update(type='GDLoss', loss_type='kld', loss_weight=1.0)
        for value in node.values():
            on_the_cpu(value)
    return node


def built(cfg, seed):
    torch.manual_seed(seed)
    with DefaultScope.overwrite_default_scope('mmrotate'):
        return MODELS.build(copy.deepcopy(cfg))


def distil(tmp_path, path, losses):
    """One step of a model that learns from one of its kind."""
    cfg = config_of(path)
    torch.save(built(cfg, 1).state_dict(), tmp_path / 't.pth')
    teacher = Teacher(
        dict(default_scope='mmrotate', model=cfg), str(tmp_path / 't.pth')
    )
    student = built(cfg, 0).train()
    distiller = Distiller(losses)
    distiller.attach(student, [teacher])
    init_default_scope('mmrotate')
    with DefaultScope.overwrite_default_scope('mmrotate'):
        boxes = 'qbox' if 'gliding_vertex' in path else 'rbox'
        data = student.data_preprocessor(batch(boxes), True)
        found = student(**data, mode='loss')
    return student, found


def batch(kind):
    """Images with three rotated boxes each, of a type of MMRotate."""
    from mmrotate.structures.bbox import RotatedBoxes

    data = tiny.batch(0, 1)
    for sample in data['data_samples']:
        corners = sample.gt_instances.bboxes
        size = corners[:, 2:] - corners[:, :2]
        angle = torch.full((len(size), 1), 0.3)
        boxes = torch.cat([corners[:, :2] + size / 2, size, angle], 1)
        sample.gt_instances.bboxes = RotatedBoxes(boxes).convert_to(kind)
    return data


def moves(term, module):
    """Whether a term gives a gradient to a module."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    grads = torch.autograd.grad(term, parameters, allow_unused=True)
    return any(g is not None and g.abs().max() > 0 for g in grads)


LEVELS = dict(type='FeatureTap', levels=['p3', 'p4', 'p5'])
PKD = dict(type='PKDLoss', loss_weight=1.0, tap=LEVELS)


@pytest.mark.parametrize('name', [*TWO_STAGE, *ONE_STAGE, *CASCADES])
def test_maps_of_the_neck(tmp_path, name):
    path = {**TWO_STAGE, **ONE_STAGE, **CASCADES}[name]
    student, found = distil(tmp_path, path, dict(loss_pkd=PKD))
    assert 0 < found['loss_pkd'] < 6
    assert moves(found['loss_pkd'], student.neck)


@pytest.mark.parametrize('name', TWO_STAGE)
def test_logits_of_the_box_head(tmp_path, name):
    losses = dict(loss_kd=dict(type='KDLoss', tau=1.0))
    student, found = distil(tmp_path, TWO_STAGE[name], losses)
    assert found['loss_kd'] > 0
    assert moves(found['loss_kd'], student.roi_head.bbox_head.fc_cls)
