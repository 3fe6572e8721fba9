"""The COCO configs of detectors that are trained as MMDetection's zoo does.

The students alone are those of the zoo, so that its figures are theirs.
"""

import re

import pytest
from mmengine.registry import HOOKS

from mmkd_plugin.teachers.config import load_config
from tests.helpers.det_configs import (
    COCO,
    CONFIGS,
    TWO_STAGE,
    box_ap,
    load,
    methods_of,
    parts_of,
    student_of,
    zoo,
)

# Student alone -> its config in the zoo.
STUDENTS = {
    'deformable-detr_r50': (
        'deformable_detr/deformable-detr_r50_16xb2-50e_coco'
    ),
    'fcos_r50_ms-2x': 'fcos/fcos_r50-caffe_fpn_gn-head_ms-640-800-2x_coco',
    'gfl_r50': 'gfl/gfl_r50_fpn_1x_coco',
    'retinanet_r50': 'retinanet/retinanet_r50_fpn_1x_coco',
    'retinanet_r50_2x': 'retinanet/retinanet_r50_fpn_2x_coco',
    'rtmdet_s': 'rtmdet/rtmdet_s_8xb32-300e_coco',
}
# Fragment -> the config of its weights in the zoo.
TEACHERS = dict(
    fcos_r101='fcos/fcos_r101-caffe_fpn_gn-head_ms-640-800-2x_coco',
    fcos_x101='fcos/fcos_x101-64x4d_fpn_gn-head_ms-640-800-2x_coco',
    gfl_r101='gfl/gfl_r101_fpn_ms-2x_coco',
    retinanet_r101='retinanet/retinanet_r101_fpn_2x_coco',
    mask_rcnn_swin_s='swin/mask-rcnn_swin-s-p4-w7_fpn_amp-ms-crop-3x_coco',
    rtmdet_m='rtmdet/rtmdet_m_8xb32-300e_coco',
)
# Teachers that the zoo does not have, trained by a config of their name.
TRAINED = {'deformable-detr_r101'}
ZOO = [path for path in COCO if path not in TWO_STAGE]
# What a zoo config sets that this project has settings of its own for.
RUNTIME = {
    'auto_scale_lr',
    'custom_imports',
    'default_hooks',
    'default_scope',
    'env_cfg',
    'load_from',
    'log_level',
    'log_processor',
    'resume',
    'vis_backends',
    'visualizer',
}

zoo_config = pytest.mark.parametrize('path', ZOO, ids=lambda path: path.stem)
distilled_config = pytest.mark.parametrize(
    'path',
    [path for path in ZOO if methods_of(path.stem)],
    ids=lambda path: path.stem,
)


def without_scope(node):
    """A config of the zoo that is inherited from names its package."""
    if isinstance(node, dict):
        return {
            key: without_scope(value)
            for key, value in node.items()
            if key != '_scope_'
        }
    if isinstance(node, (list, tuple)):
        return type(node)(without_scope(value) for value in node)
    return node


def entry_of(config):
    return zoo(config.split('/')[0])[config]


def test_every_student_alone_is_listed():
    alone = {path.stem for path in ZOO if not methods_of(path.stem)}
    assert alone == {*STUDENTS, *TRAINED}


@pytest.mark.parametrize('name', STUDENTS)
def test_student_is_that_of_the_zoo(name):
    path = CONFIGS / f'{name}.py'
    found = load(path).to_dict()
    expected = load_config(f'mmdet::{STUDENTS[name]}.py').to_dict()
    for cfg in (found, expected):
        for key in RUNTIME:
            cfg.pop(key, None)
    assert without_scope(found) == expected
    figure = box_ap(entry_of(STUDENTS[name]))
    text = ' '.join(path.read_text().replace('\n#', ' ').split())
    assert f'{figure} box AP' in text


@zoo_config
def test_saves_the_best_weights(path):
    cfg = load(path)
    assert cfg.default_hooks.checkpoint.save_best == 'coco/bbox_mAP'


@zoo_config
def test_command_has_the_batch_of_the_zoo(path):
    gpus = int(re.search(r'^# Run: .+ (\d+)$', path.read_text(), re.M)[1])
    cfg = load(path)
    images = gpus * cfg.train_dataloader.batch_size
    assert images == cfg.auto_scale_lr.base_batch_size


@distilled_config
def test_teacher_is_the_one_in_the_name(path):
    parts = parts_of(path.stem)
    student = student_of(path).stem
    assert student.startswith(f'{parts["family"]}_{parts["student"]}')
    *_, hook = load(path).custom_hooks
    fragment = re.search(r"teachers/(\S+)\.py'", path.read_text())[1]
    name = parts['teacher'].replace('-', '_')
    assert f'_{name}' in f'_{fragment}'.replace('-', '_')
    place = f'checkpoints/coco/{fragment}.pth'
    if fragment not in TRAINED:
        place = entry_of(TEACHERS[fragment])['Weights']
    assert hook.teacher.checkpoint == place


@pytest.mark.parametrize('name', TEACHERS)
def test_teacher_config_is_that_of_its_weights(name):
    path = CONFIGS / f'_base_/teachers/{name}.py'
    teacher = load(path).teacher
    entry = entry_of(TEACHERS[name])
    assert teacher.checkpoint == entry['Weights']
    assert teacher.config == f'mmdet::{TEACHERS[name]}.py'
    text = ' '.join(path.read_text().replace('\n#', ' ').split())
    assert f'{box_ap(entry)} box AP' in text


@pytest.mark.parametrize('name', TRAINED)
def test_teacher_of_its_own(name):
    """Its config is the one that trains it: another depth of the student."""
    fragment = load(CONFIGS / f'_base_/teachers/{name}.py').teacher
    cfg = load(CONFIGS / f'{name}.py')
    assert load_config(fragment.config).model == cfg.model
    depth = int(name.rpartition('_r')[2])
    backbone = cfg.model.backbone
    assert backbone.depth == depth
    assert backbone.init_cfg.checkpoint == f'torchvision://resnet{depth}'
    alone = load(student_of(CONFIGS / f'{name}.py'))
    for model in (cfg.model, alone.model):
        del model.backbone.depth, model.backbone.init_cfg
    assert cfg.to_dict() == alone.to_dict()


@pytest.mark.parametrize(
    'name, weight, student, teacher',
    [
        ('fcos-x101', 10.0, 'p3 p4 p5 p6', 'p3 p4 p5 p6'),
        ('swin-s', 6.0, 'p3 p4 p5 p6', 'p2 p3 p4 p5'),
    ],
)
def test_settings_of_pkd(name, weight, student, teacher):
    """Those of MMRazor, which pairs maps by their order."""
    (hook,) = load(CONFIGS / f'retinanet_{name}_r50_pkd.py').custom_hooks
    ((loss, tap),) = HOOKS.build(hook).distiller.terms.values()
    assert loss.loss_weight == weight
    assert loss.adapters is None
    assert tap.levels == tuple(student.split())
    assert tap.teacher_levels == tuple(teacher.split())
    assert tap.resize == (student != teacher)
