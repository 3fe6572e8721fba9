"""A vision transformer of MMPretrain teaches detectors and classifiers."""

import pytest
import torch
from mmengine.registry import HOOKS
from torch.nn import functional as F

from tests.helpers import (
    classifier_runs,
    detector_runs,
    tiny,
    tiny_cls,
    tiny_vit,
)
from tests.helpers.other_detectors import dense_cfg

STUDENTS = dict(
    retinanet=dense_cfg('RetinaNet'), frcnn=tiny.detector_cfg(), resnet=None
)


def losses(channels, **tap):
    return dict(
        loss_pkd=dict(
            type='PKDLoss',
            loss_weight=1.0,
            student_channels=[channels],
            teacher_channels=[tiny_vit.WIDTH],
            tap=dict(type='FeatureTap', teacher_modules='backbone', **tap),
        )
    )


def runner_of(name, tmp_path, with_teacher=True):
    """A runner of four steps of a student, and the hook's teacher."""
    hooks = [dict(type='EMAHook', momentum=0.5)]
    if name == 'resnet':
        terms = losses(
            8, modules='backbone', levels=['p2'], teacher_levels=['p4']
        )
        options = dict(input_size=(64, 64))
    else:
        terms, options = losses(16, modules='neck', levels=['p4']), {}
    terms['loss_pkd']['tap']['resize'] = True
    if with_teacher:
        teacher = tiny_vit.save_vit(tmp_path / 'vit.pth')
        hook = detector_runs.hook_cfg({**teacher, **options}, losses=terms)
        hooks.append(hook)
    tmp_path = tmp_path / str(with_teacher)
    if name == 'resnet':
        return classifier_runs.make_runner(
            tmp_path,
            hooks,
            val_dataloader=None,
            val_cfg=None,
            val_evaluator=None,
        )
    return detector_runs.make_runner(tmp_path, hooks, model=STUDENTS[name])


def saved(runner):
    runner.train()
    return torch.load(
        f'{runner.work_dir}/epoch_1.pth',
        weights_only=False,
        map_location='cpu',
    )


@pytest.mark.parametrize('name', STUDENTS)
def test_teaches_through_the_engine(tmp_path, name):
    """It changes the student, which is saved as without a teacher."""
    alone, taught = (
        saved(runner_of(name, tmp_path, with_teacher))
        for with_teacher in (False, True)
    )
    for part in ('state_dict', 'ema_state_dict'):
        own, other = taught[part], alone[part]
        assert list(own) == list(other)
        assert all(own[key].shape == other[key].shape for key in own)
        moved = [key for key in own if not torch.equal(own[key], other[key])]
        assert any('backbone' in key for key in moved)
    assert not any('distill' in key for key in taught['state_dict'])
    # The convolution of the loss stands beside the optimizer's state.
    assert {*taught} - {*alone} == {'distill'}


def test_value_and_gradient(tmp_path):
    """Of the naive formula, on images that the teacher prepared itself."""
    student = tiny.build_detector().train()
    cfg = tiny_vit.save_vit(tmp_path / 'vit.pth')
    terms = losses(16, modules='neck', levels=['p4'], resize=True)
    hook = detector_runs.hook_cfg(dict(cfg, input_size=0.5), losses=terms)
    hook = detector_runs.connect(HOOKS.build(hook), student)
    weight = student.neck.fpn_convs[2].conv.weight
    seen = []
    handle = student.neck.register_forward_hook(
        lambda module, args, output: seen.append(output[2])
    )
    found = detector_runs.losses_of(student, 1, 3)['loss_pkd']
    handle.remove()
    (gradient,) = torch.autograd.grad(found, weight, retain_graph=True)

    model = tiny_vit.build_vit(7).eval()
    with torch.no_grad():
        inputs = model.data_preprocessor(
            dict(inputs=tiny.batch(1, 3)['inputs']), False
        )['inputs']
        half = F.interpolate(
            inputs, scale_factor=0.5, mode='bilinear', antialias=True
        )
        (target,) = model.extract_feat(half)
    own = F.interpolate(seen[0], target.shape[-2:], mode='bilinear')
    own = hook.distiller.losses['loss_pkd'].adapters[0](own)
    pairs = zip(own.transpose(0, 1), target.transpose(0, 1))
    wanted = sum(
        ((_unit(a) - _unit(b)) ** 2).mean() / 2 for a, b in pairs
    ) / len(target[0])
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    (of_formula,) = torch.autograd.grad(wanted, weight)
    assert of_formula.abs().max() > 1e-6
    torch.testing.assert_close(gradient, of_formula, rtol=1e-2, atol=1e-6)


def _unit(channel):
    return (channel - channel.mean()) / (channel.std() + 1e-6)


def test_logits_of_a_classifier_at_its_own_size(tmp_path):
    """A ViT for 64 x 64 teaches classes to a student of 16 x 16."""
    head = dict(
        type='LinearClsHead', num_classes=3, in_channels=tiny_vit.WIDTH
    )
    cfg = tiny_vit.save_vit(
        tmp_path / 'vit.pth', head=head, out_type='cls_token'
    )
    student = tiny_cls.build_classifier().train()
    hook = HOOKS.build(
        classifier_runs.hook_cfg(
            dict(cfg, input_size=(64, 64)),
            losses=dict(loss_kd=dict(type='KDLoss', tau=2.0)),
        )
    )
    classifier_runs.connect(hook, student)
    assert classifier_runs.losses_of(student, 0, 1, 2)['loss_kd'] > 0
    assert hook.distiller.teachers[0].image_size == (64, 64)


def test_taps_of_boxes_refuse_resized_images(tmp_path):
    cfg = tiny.save_teacher(tmp_path / 'teacher.pth')
    hook = HOOKS.build(detector_runs.hook_cfg(dict(cfg, input_size=0.5)))
    with pytest.raises(
        TypeError,
        match='RoIHeadTap reads .* but `input_size` in `teacher` resiz',
    ):
        detector_runs.connect(hook, tiny.build_detector())


@pytest.mark.parametrize('kind', ['headless', 'detector'])
def test_evaluation_that_makes_no_sense_is_refused(tmp_path, kind):
    if kind == 'headless':
        cfg, reason = tiny_vit.save_vit(tmp_path / 't.pth'), 'has no head'
        terms = losses(16, modules='neck', levels=['p4'], resize=True)
    else:
        cfg = dict(tiny.save_teacher(tmp_path / 't.pth'), input_size=0.5)
        reason = 'sees resized images'
        terms = dict(loss_pkd=dict(type='PKDLoss', loss_weight=1.0))
    hook = detector_runs.hook_cfg(cfg, losses=terms, evaluate_teacher=True)
    loader = detector_runs.make_runner(tmp_path, []).cfg.train_dataloader
    runner = detector_runs.make_runner(
        tmp_path,
        [hook],
        val_dataloader=loader,
        val_cfg=dict(),
        val_evaluator=dict(type='DumpResults', out_file_path='x.pkl'),
    )
    with pytest.raises(ValueError, match=f'cannot be evaluated, .* {reason}'):
        runner.train()
