"""A student that starts with modules of its teacher."""

import pytest
import torch
from torch import nn

from mmkd_plugin import DistillHook
from mmkd_plugin.teachers.inherit import inherit
from tests.helpers import tiny
from tests.helpers.detector_runs import LOSSES, hook_cfg, make_runner

PARTS = ['neck', 'rpn_head', 'roi_head']


@pytest.fixture
def teacher(tmp_path):
    return tiny.save_teacher(tmp_path / 't.pth')


def state(model, *parts):
    return {
        name: value.clone()
        for name, value in model.state_dict().items()
        if name.startswith(parts)
    }


def same(one, other):
    assert one.keys() == other.keys() and one
    return all(torch.equal(one[name], other[name]) for name in one)


def test_copies_what_is_named_and_nothing_else():
    student, teacher = (tiny.build_detector(seed=n) for n in (0, 1))
    before = state(student, 'backbone')
    text = inherit(student, teacher, PARTS)
    assert same(state(student, *PARTS), state(teacher, *PARTS))
    assert same(state(student, 'backbone'), before)
    assert text.startswith('neck (16 tensors), rpn_head (6 tensors), roi_h')


def test_differing_modules_copy_nothing():
    student, teacher = tiny.build_detector(0), tiny.build_detector(1, width=16)
    before = state(student, '')
    with pytest.raises(
        ValueError, match=r"inherit 'backbone': \d+ of its .* \(.*, \.\.\.\)"
    ):
        inherit(student, teacher, ['rpn_head', 'backbone'])
    assert same(state(student, ''), before)


@pytest.mark.parametrize('role', ['student', 'teacher'])
def test_missing_module(role):
    models = [tiny.build_detector(), tiny.build_detector()]
    models[role == 'student'].extra = nn.Linear(1, 1)
    with pytest.raises(ValueError, match=f"{role} .* no module 'extra'"):
        inherit(*models, ['extra'])


@pytest.mark.slow
@pytest.mark.parametrize(
    'losses', [LOSSES, dict(loss_pkd=dict(type='PKDLoss', loss_weight=6.0))]
)
def test_classes_in_another_order(tmp_path, teacher, losses):
    """Also where no term compares classes; a neck has none."""
    classes = tuple(reversed(tiny.CLASSES))
    teacher = dict(teacher, classes=classes)
    for parts, refused in ((PARTS[:2], False), (PARTS, True)):
        hook = hook_cfg(teacher, inherit=parts, losses=losses)
        runner = make_runner(tmp_path / str(refused), [hook])
        if refused:
            with pytest.raises(ValueError, match="'roi_head', because .* ord"):
                runner.train()
        else:
            runner.train()


@pytest.mark.parametrize(
    'value, message', [('neck', 'a list of names'), ([1], 'a list of names')]
)
def test_arguments(teacher, value, message):
    with pytest.raises(TypeError, match=message):
        DistillHook(teacher, losses=LOSSES, inherit=value)
    with pytest.raises(ValueError, match='with 2 teachers'):
        DistillHook([teacher] * 2, losses=LOSSES, inherit=['neck'])


@pytest.mark.slow
def test_in_a_run_and_not_again_when_resumed(tmp_path, teacher):
    weights = torch.load(teacher['checkpoint'])
    weights = weights.get('state_dict', weights)
    hooks = [hook_cfg(teacher, inherit=['neck']), dict(type='EMAHook')]
    firsts = []
    for epochs, resume in ((1, False), (2, True)):
        runner = make_runner(
            tmp_path, hooks, epochs=epochs, resume=resume, log_level='INFO'
        )
        original = runner.call_hook

        def call_hook(name, runner=runner, original=original, **kwargs):
            original(name, **kwargs)
            if name == 'before_train_epoch':
                firsts.append(state(runner.model, 'neck'))

        runner.call_hook = call_hook
        runner.train()
    wanted = {k: v for k, v in weights.items() if k.startswith('neck')}
    assert same(firsts[0], wanted)
    assert len(firsts) == 2 and not same(firsts[1], wanted)
    logs = (tmp_path / 'work').glob('*/*.log')
    log = ''.join(path.read_text() for path in logs)
    assert 'DistillHook: the student starts with these weights of' in log
    assert 'neck (16 tensors)' in log
