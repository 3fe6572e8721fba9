"""A step of distillation without a runner."""

from collections import Counter

import pytest
import torch

from mmkd_plugin import Distiller
from mmkd_plugin.losses import KDLoss
from mmkd_plugin.taps import RoIHeadTap
from mmkd_plugin.teachers import Teacher
from tests.helpers import tiny

KD = dict(type='KDLoss', tau=1.0)
FOREGROUND = dict(type='RoIHeadTap', background_weight=0)


@pytest.fixture
def teacher(tmp_path):
    return Teacher(**tiny.save_teacher(tmp_path / 'teacher.pth', width=16))


@pytest.fixture
def student():
    return tiny.build_detector().train()


def step(student, *indices):
    data = student.data_preprocessor(tiny.batch(*indices), True)
    return student(**data, mode='loss')


def has_hooks(model):
    return any(
        m._forward_pre_hooks or m._forward_hooks for m in model.modules()
    )


@pytest.mark.parametrize('taps', [1, 2])
def test_taps_share_what_the_teacher_computes(student, teacher, taps):
    own = dict(KD, tap=FOREGROUND) if taps == 2 else KD
    distiller = Distiller(dict(loss_all=KD, loss_own=own))
    distiller.attach(student, [teacher], tiny.CLASSES)
    assert len(distiller.taps) == taps
    calls = Counter()
    for name in ('backbone', 'roi_head.bbox_head'):
        teacher.model.get_submodule(name).register_forward_hook(
            lambda *_, name=name: calls.update([name])
        )
    weights = {}
    for name, loss in distiller.losses.items():
        loss.register_forward_pre_hook(
            lambda _, args, name=name: weights.update({name: args[3]})
        )
    losses = step(student, 0, 1)
    assert calls == {'backbone': 1, 'roi_head.bbox_head': 1}
    everything, own = weights['loss_all'], weights['loss_own']
    assert everything.all()
    assert own.all() == (taps == 1)
    assert own.any()
    assert losses['loss_all'] > 0 and losses['loss_own'] > 0
    # Of the first tap that reads logits.
    assert 0 <= losses['kd_agreement'] <= 100


def test_terms_train_the_student(student, teacher):
    distiller = Distiller(dict(loss_kd=KDLoss(tau=1.0)), RoIHeadTap())
    distiller.attach(student, [teacher], tiny.CLASSES)
    losses = step(student, 0, 1)
    losses['loss_kd'].backward()
    assert student.backbone.conv1.weight.grad.abs().sum() > 0
    distiller.check(dict(loss_kd=losses['loss_kd'].item()), 1)
    with pytest.raises(RuntimeError, match='loss_kd is nan at iteration 2'):
        distiller.check(dict(loss_kd=float('nan')), 2)


def test_factor_scales_the_terms_and_0_asks_no_teacher(student, teacher):
    distiller = Distiller(dict(loss_kd=KD))
    distiller.attach(student, [teacher], tiny.CLASSES)
    values = []
    for factor in (1.0, 0.5, 0.0):
        distiller.factor = factor
        torch.manual_seed(0)
        losses = step(student, 0)
        values.append(losses['loss_kd'].item())
        assert ('kd_agreement' in losses) == (factor > 0)
    assert values == [values[0], pytest.approx(values[0] / 2), 0]
    teacher.model = None  # nothing of it is used
    step(student, 0)


def test_detach_gives_the_student_back(student, teacher):
    distiller = Distiller(dict(loss_kd=KD, loss_own=dict(KD, tap=FOREGROUND)))
    distiller.attach(student, [teacher], tiny.CLASSES)
    distiller.detach()
    assert not has_hooks(student)
    assert 'loss_kd' not in step(student, 0)


def test_refusal_leaves_the_student_as_it_was(teacher):
    student = tiny.build_detector(num_classes=2).train()
    distiller = Distiller(dict(loss_kd=KD))
    with pytest.raises(ValueError, match='has 2 classes'):
        distiller.attach(student, [teacher])
    assert not has_hooks(student)
    distiller.detach()


def test_attaching_again_replaces(student, teacher):
    distiller = Distiller(dict(loss_kd=KD))
    for _ in range(2):
        distiller.attach(student, [teacher], tiny.CLASSES)
    assert len(student._forward_hooks) == 1
    assert step(student, 0)['loss_kd'] > 0
    distiller.detach()
    assert not has_hooks(student)


def test_tap_that_fails_leaves_no_hook(student, teacher, monkeypatch):
    distiller = Distiller(dict(loss_kd=KD, loss_own=dict(KD, tap=FOREGROUND)))

    def attach(tap, *models):
        if tap.background_weight == 0:
            raise ArithmeticError
        return original(tap, *models)

    original = RoIHeadTap.attach
    monkeypatch.setattr(RoIHeadTap, 'attach', attach)
    with pytest.raises(ArithmeticError):
        distiller.attach(student, [teacher], tiny.CLASSES)
    distiller.detach()
    assert not has_hooks(student)


def test_no_teacher(student):
    with pytest.raises(
        ValueError, match=r'at least one `Teacher` but got \[\]'
    ):
        Distiller(dict(loss_kd=KD)).attach(student, [])


class FeatureLike(RoIHeadTap):
    per_class = False


def test_several_teachers_need_logits(student, teacher):
    distiller = Distiller(dict(loss_kd=KDLoss(tau=1.0)), FeatureLike())
    with pytest.raises(TypeError, match='one teacher for FeatureLike.* got 2'):
        distiller.attach(student, [teacher, teacher], tiny.CLASSES)


def test_nothing_is_kept_after_a_step(student, teacher):
    """The guard keeps ranges, not tensors."""
    distiller = Distiller(dict(loss_kd=KD))
    distiller.attach(student, [teacher], tiny.CLASSES)
    losses = step(student, 0, 1)
    sum(v for k, v in losses.items() if k == 'loss_kd').backward()
    kept = [
        value
        for owner in (distiller, distiller.guard, *distiller.taps, teacher)
        for value in _tensors(vars(owner))
    ]
    assert max((x.numel() for x in kept), default=0) <= 2


def _tensors(value):
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _tensors(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _tensors(each)
