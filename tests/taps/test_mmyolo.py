"""Detectors of MMYOLO, where it is installed."""

import copy
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.registry import MODELS, DefaultScope

from mmkd_plugin.distill import Distiller
from mmkd_plugin.teachers import Teacher

try:
    import mmyolo
except (AssertionError, ImportError):  # it refuses newer versions of mmcv
    pytest.skip('MMYOLO cannot be imported', allow_module_level=True)
pytestmark = pytest.mark.slow

CONFIGS = Path(mmyolo.__file__).parent / '.mim' / 'configs'
# Student and teacher.
PAIRS = {
    'YOLOv5': (
        'yolov5/yolov5_n-v61_syncbn_fast_8xb16-300e_coco.py',
        'yolov5/yolov5_s-v61_syncbn_fast_8xb16-300e_coco.py',
    ),
    'YOLOv6': (
        'yolov6/yolov6_n_syncbn_fast_8xb32-400e_coco.py',
        'yolov6/yolov6_s_syncbn_fast_8xb32-400e_coco.py',
    ),
    'YOLOv7': (
        'yolov7/yolov7_tiny_syncbn_fast_8x16b-300e_coco.py',
        'yolov7/yolov7_tiny_syncbn_fast_8x16b-300e_coco.py',
    ),
    'YOLOv8': (
        'yolov8/yolov8_n_syncbn_fast_8xb16-500e_coco.py',
        'yolov8/yolov8_s_syncbn_fast_8xb16-500e_coco.py',
    ),
    'YOLOX': (
        'yolox/yolox_tiny_fast_8xb8-300e_coco.py',
        'yolox/yolox_s_fast_8xb8-300e_coco.py',
    ),
    'RTMDet': (
        'rtmdet/rtmdet_tiny_syncbn_fast_8xb32-300e_coco.py',
        'rtmdet/rtmdet_s_syncbn_fast_8xb32-300e_coco.py',
    ),
    'PPYOLOE': (
        'ppyoloe/ppyoloe_plus_s_fast_8xb8-80e_coco.py',
        'ppyoloe/ppyoloe_plus_s_fast_8xb8-80e_coco.py',
    ),
    'YOLOv5 from YOLOv8': (
        'yolov5/yolov5_n-v61_syncbn_fast_8xb16-300e_coco.py',
        'yolov8/yolov8_s_syncbn_fast_8xb16-500e_coco.py',
    ),
    'YOLOv8 from YOLOX': (
        'yolov8/yolov8_n_syncbn_fast_8xb16-500e_coco.py',
        'yolox/yolox_s_fast_8xb8-300e_coco.py',
    ),
}


def config_of(path):
    """A model of MMYOLO's on one process, without what loads weights."""
    from mmyolo.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    model = Config.fromfile(CONFIGS / path).model
    model.backbone.pop('init_cfg', None)
    return plain_norm(model)


def plain_norm(node):
    """Replace synchronised batch normalisation, in place."""
    if isinstance(node, dict):
        if node.get('type') == 'SyncBN':
            node['type'] = 'BN'
        for value in node.values():
            plain_norm(value)
    return node


def built(cfg, seed):
    torch.manual_seed(seed)
    with DefaultScope.overwrite_default_scope('mmyolo'):
        return MODELS.build(copy.deepcopy(cfg))


@pytest.mark.parametrize('name', PAIRS)
def test_maps_of_the_neck(tmp_path, name):
    student_cfg, teacher_cfg = map(config_of, PAIRS[name])
    model = built(teacher_cfg, 1)
    torch.save(model.state_dict(), tmp_path / 't.pth')
    teacher = Teacher(
        dict(default_scope='mmyolo', model=teacher_cfg),
        str(tmp_path / 't.pth'),
    )
    student = built(student_cfg, 0).train()
    images = torch.rand(2, 3, 128, 128)
    with torch.no_grad():
        channels = [
            [part.shape[1] for part in each.eval().extract_feat(images)]
            for each in (student, model)
        ]
    distiller = Distiller(
        dict(
            loss_pkd=dict(
                type='PKDLoss',
                loss_weight=1.0,
                student_channels=channels[0],
                teacher_channels=channels[1],
                tap=dict(type='FeatureTap', levels=['p3', 'p4', 'p5']),
            )
        )
    )
    distiller.attach(student.train(), [teacher])
    boxes = torch.tensor([[0.0, 3, 10, 10, 60, 90], [1, 5, 40, 30, 120, 100]])
    inputs = (images * 255).to(torch.uint8)
    batch = dict(
        inputs=list(inputs) if name == 'PPYOLOE' else inputs,
        data_samples=dict(bboxes_labels=boxes),
    )
    for key in ('epoch', 'iter'):  # which a runner tells
        MessageHub.get_current_instance().update_info(key, 1)
    with DefaultScope.overwrite_default_scope('mmyolo'):
        data = student.data_preprocessor(batch, True)
        found = student(**data, mode='loss')
    assert 0 < found['loss_pkd'] < 6
    parameters = [p for p in student.neck.parameters() if p.requires_grad]
    grads = torch.autograd.grad(
        found['loss_pkd'], parameters, allow_unused=True
    )
    assert any(g is not None and g.abs().max() > 0 for g in grads)
