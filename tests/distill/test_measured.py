"""`student_channels='auto'`: what a loss leaves to be measured."""

import pytest
import torch

from mmkd_plugin.distill import Distiller
from mmkd_plugin.exceptions import MMKDTypeError
from tests.helpers import tiny, tiny_cls
from tests.helpers.classifier_runs import make_runner

AUTO = dict(student_channels='auto', teacher_channels='auto')
STAGES = dict(type='FeatureTap', modules='stages', resize='pool')


def fitnet(**kwargs):
    return dict(type='FitNetLoss', loss_weight=1.0, **kwargs)


def measure(loss, student, teacher):
    distiller = Distiller(dict(loss_x=loss))
    assert distiller.unmeasured
    distiller.measure(student, teacher)
    assert not distiller.unmeasured
    return distiller.losses['loss_x']


@pytest.mark.parametrize('levels', [None, ['p3', 'p4']])
def test_necks_of_detectors(levels):
    student, teacher = (
        tiny.build_detector(width=width).train() for width in (8, 16)
    )
    before = {name: m.training for name, m in student.named_modules()}
    weights = {name: x.clone() for name, x in student.state_dict().items()}
    tap = dict(type='FeatureTap', levels=levels)
    loss = measure(fitnet(tap=tap, **AUTO), student, teacher)
    count = 5 if levels is None else 2
    own = [student.neck.out_channels] * count
    assert loss.student_channels == own
    assert loss.teacher_channels == [teacher.neck.out_channels] * count
    assert [layer.in_channels for layer in loss.adapters] == own
    # Nothing of the student has changed.
    assert {n: m.training for n, m in student.named_modules()} == before
    for name, x in student.state_dict().items():
        assert torch.equal(x, weights[name])


def test_stages_of_classifiers():
    student, teacher = (
        tiny_cls.build_classifier(width=width) for width in (4, 6)
    )
    loss = measure(fitnet(tap=STAGES, **AUTO), student, teacher)
    assert loss.student_channels == [4, 8, 8]
    assert loss.teacher_channels == [6, 12, 12]


def test_only_what_is_left_is_measured():
    student, teacher = tiny.build_detector(), tiny.build_detector(width=16)
    own = [student.neck.out_channels] * 5
    loss = fitnet(student_channels=own, teacher_channels='auto')
    assert measure(loss, student, teacher).teacher_channels == (
        [teacher.neck.out_channels] * 5
    )


def test_settings_are_checked_at_once():
    with pytest.raises(Exception, match='loss_weight'):
        Distiller(dict(loss_x=dict(type='FitNetLoss', loss_weight=-1, **AUTO)))


def test_a_tap_that_cannot_measure():
    class Tap:
        kind = 'features'
        per_class = False
        fits = refuse = attach = take = detach = lambda self, *args: None

    distiller = Distiller(dict(loss_x=fitnet(tap=Tap(), **AUTO)))
    student = tiny.build_detector()
    with pytest.raises(MMKDTypeError, match="got 'auto', which Tap cannot"):
        distiller.measure(student, student)


@pytest.mark.slow
def test_training_and_resuming(tmp_path):
    teacher = tiny_cls.save_teacher(tmp_path / 'teacher.pth', width=6)
    hook = dict(
        type='DistillHook',
        teacher=teacher,
        losses=dict(loss_hint=fitnet(tap=STAGES, **AUTO)),
    )

    def run(name, **kwargs):
        runner = make_runner(
            tmp_path / name,
            [hook, dict(type='ExactResumeHook')],
            train_cfg=dict(by_epoch=True, max_epochs=2),
            **kwargs,
        )
        runner.train()
        (loss,) = (
            hook.distiller.losses['loss_hint']
            for hook in runner.hooks
            if hasattr(hook, 'distiller')
        )
        return runner, loss

    whole, loss = run('whole')
    first = tmp_path / 'whole' / 'work' / 'epoch_1.pth'
    _, resumed = run('resumed', resume=True, load_from=str(first))
    for own, other in zip(loss.parameters(), resumed.parameters()):
        assert torch.equal(own, other)
    known = {
        id(p) for g in whole.optim_wrapper.param_groups for p in g['params']
    }
    assert {id(p) for p in loss.parameters()} <= known
    assert not any('adapters' in name for name in whole.model.state_dict())
