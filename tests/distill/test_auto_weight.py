"""`loss_weight='auto'`: the weight with which a term pulls as wanted."""

import math
from typing import NamedTuple

import pytest
import torch
from mmengine.registry import MODELS
from torch import distributed as dist

from mmkd_plugin import Distiller
from mmkd_plugin.distill import auto_weight, pulls
from mmkd_plugin.distill.auto_weight import AutoWeight, update
from mmkd_plugin.distill.terms import Term
from mmkd_plugin.losses import CKDLoss
from mmkd_plugin.taps import Reading, RoIHeadTap
from mmkd_plugin.teachers.teacher import Teacher
from tests.helpers import adopted, tiny, tiny_cls
from tests.helpers.group import everywhere, group  # noqa: F401


@MODELS.register_module()
class WeighedLoss(adopted.AdaptedLoss):
    """Maps after a convolution, with a weight."""

    def __init__(self, loss_weight):
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, *reading):
        return self.loss_weight * super().forward(*reading)


AUTO = dict(type='WeighedLoss', loss_weight='auto')


def followed(measured, pull=1.0):
    """The weight after each step in which a pull was measured."""
    weight = AutoWeight('loss_x', pull)
    found = []
    for value in measured:
        update([weight], {'loss_x': value}, 'cpu')
        found.append(weight.value)
    return weight, found


def test_geometric_mean_of_the_later_half():
    weight, found = followed([40.0, 10.0, 4.0, 1.0], pull=2.0)
    wanted = [40, 10, math.sqrt(10 * 4), math.sqrt(4 * 1)]
    assert found == pytest.approx([2 / x for x in wanted])
    assert weight.steps == 4
    assert not weight.is_set


def test_stays_after_the_steps():
    weight, found = followed([1000.0] * 50 + [8.0] * 50)
    assert weight.is_set
    assert found[-1] == pytest.approx(1 / 8)


@pytest.mark.parametrize('bad', [None, 0.0, math.inf, math.nan])
def test_steps_without_a_pull_are_left_out(bad):
    weight, found = followed([2.0, bad, 2.0])
    assert found == [0.5] * 3
    assert (weight.steps, len(weight.logs)) == (3, 2)
    assert followed([bad])[1] == [1.0]


def test_no_pull_in_all_the_steps():
    with pytest.raises(RuntimeError, match='loss_x could not be measured'):
        followed([0.0] * auto_weight.STEPS)


@pytest.fixture
def detector(tmp_path):
    student = tiny.build_detector().train()
    teacher = tiny.save_teacher(tmp_path / 'teacher.pth', width=16)
    data = student.data_preprocessor(tiny.batch(0, 1), True)
    return student, {**teacher, 'classes': tiny.CLASSES}, data


CROSSED = dict(type='RoIHeadTap', crossed=True)
TERMS = {
    'logits': dict(type='CKDLoss', tau=1.0, loss_weight='auto', pull=0.5),
    'boxes': dict(type='BoxL1Loss', loss_weight='auto', pull=2.0),
    'maps': dict(
        type='PKDLoss',
        loss_weight='auto',
        tap=dict(type='FeatureTap', levels=['p2', 'p3']),
    ),
    'crossed': dict(type='KDLoss', tau=1.0, loss_weight='auto', tap=CROSSED),
}


def step(student, teacher, data, losses, factor=1.0):
    """Pulls of the terms with their weights, and what the step returned."""
    distiller = Distiller(losses)
    distiller.attach(student, [Teacher(**teacher)], None)
    distiller.factor = factor
    with pulls.listen(student, distiller) as heard:
        output = student(**data, mode='loss')
        found = pulls.measure(student, output, heard, distiller)
    distiller.detach()
    return found, output, distiller


@pytest.mark.parametrize('kind', TERMS)
@pytest.mark.parametrize('factor', [1.0, 0.25])
def test_pulls_as_hard_as_wanted(detector, kind, factor):
    """In the first step, which alone was measured then."""
    term = TERMS[kind]
    found, output, distiller = step(
        *detector, dict(loss_x=term), factor=factor
    )
    wanted = term.get('pull', 1.0) * factor
    assert found['loss_x'].ratio == pytest.approx(wanted, rel=1e-3)
    weight = distiller.auto_weights['loss_x'].value
    assert output['kd_weight_x'].item() == pytest.approx(weight)
    assert 'kd_weight_x' in distiller.diagnostics


def test_the_weight_is_that_of_the_same_term_with_a_number(detector):
    auto, output, distiller = step(*detector, dict(loss_x=TERMS['logits']))
    weight = distiller.auto_weights['loss_x'].value
    fixed = dict(type='CKDLoss', tau=1.0, loss_weight=weight)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        wanted = step(*detector, dict(loss_x=fixed))[1]
        torch.manual_seed(0)
        again = step(*detector, dict(loss_x=TERMS['logits']))[1]
    assert again['loss_x'].item() == pytest.approx(
        wanted['loss_x'].item(), rel=0.05
    )
    assert output['loss_x'].requires_grad


def test_classifier(tmp_path):
    student = tiny_cls.build_classifier().train()
    teacher = tiny_cls.save_teacher(tmp_path / 'teacher.pth', width=8)
    data = student.data_preprocessor(tiny_cls.batch(0, 1, 2, 3), True)
    losses = dict(
        loss_kd=dict(type='KDLoss', tau=4.0, loss_weight='auto', pull=3),
        loss_at=dict(type='ATLoss', loss_weight='auto'),
    )
    found, output, _ = step(student, teacher, data, losses)
    assert found['loss_kd'].ratio == pytest.approx(3, rel=1e-3)
    assert found['loss_at'].ratio == pytest.approx(1, rel=1e-3)
    assert {'kd_weight_kd', 'kd_weight_at'} <= output.keys()


def test_gradients_too_small_for_half_precision():
    """Half precision has no number between 0 and 6e-8."""
    at = torch.zeros(2, 3, dtype=torch.float16, requires_grad=True)
    (found,) = pulls._grads(1e-8 * at.float().sum(), [at])
    torch.testing.assert_close(
        found, torch.full((2, 3), 1e-8), rtol=0.01, atol=0
    )


def test_terms_of_other_hooks_are_no_task(detector):
    student, teacher, data = detector
    other = Distiller(dict(loss_y=dict(type='PKDLoss', loss_weight=1e4)))
    other.attach(student, [Teacher(**teacher)], None)
    torch.manual_seed(0)
    output, distiller = step(*detector, dict(loss_x=TERMS['maps']))[1:]
    assert output['loss_y'] > 1
    other.detach()
    torch.manual_seed(0)
    alone = step(*detector, dict(loss_x=TERMS['maps']))[2]
    weights = [d.auto_weights['loss_x'].value for d in (distiller, alone)]
    assert weights[0] == pytest.approx(weights[1], rel=0.05)


def test_measuring_is_no_proof_of_a_backward_pass(detector):
    distiller = Distiller(dict(loss_x=TERMS['logits']))
    student, teacher, data = detector
    distiller.attach(student, [Teacher(**teacher)], None)
    student(**data, mode='loss')
    message = 'the largest gradient that it gives .* is none'
    with pytest.raises(RuntimeError, match=message):
        distiller.check({'loss_x': 1.0}, 1)
    distiller.detach()


class Terms(NamedTuple):
    """Stands for a distiller."""

    terms: dict


def check_rank_without_rows():
    """Collectives of the backward pass, and one rank that has no RoIs."""
    loss = CKDLoss(tau=1.0, loss_weight=1.0, gather=True)
    rows = 5 if dist.get_rank() == 0 else 0
    student = torch.randn(rows, 4, requires_grad=True)
    labels = torch.zeros(rows, dtype=torch.long)
    reading = Reading(student, torch.randn(rows, 4), labels, torch.ones(rows))
    heard = pulls.Heard(dict(loss_x=[('', 1.0, reading)]), {})
    terms = Terms(dict(loss_x=Term(loss, RoIHeadTap())))
    found = pulls.measure(None, dict(loss_x=loss(*reading)), heard, terms)
    assert [*found] == (['loss_x'] if rows else [])
    weight = AutoWeight('loss_x')
    ratios = {name: pull.ratio for name, pull in found.items()}
    update([weight], ratios, 'cpu')
    first, second = everywhere(weight.state())
    assert first == second
    assert len(first['logs']) == 1


@pytest.mark.slow
def test_rank_without_rows(group):  # noqa: F811
    group(2).run(check_rank_without_rows)


@pytest.fixture
def folder(tmp_path):
    adopted.save_teacher(tmp_path)
    return tmp_path


def weight_of(runner):
    (hook,) = [h for h in runner.hooks if hasattr(h, 'distiller')]
    return hook.distiller.auto_weights['loss_x']


def check_whole_and_in_parts(folder):
    """Equal ranks, and a resume that goes on exactly."""
    adopted.prepare(folder) if dist.is_initialized() else None
    kept, auto_weight.STEPS = auto_weight.STEPS, 3
    try:
        losses = [dict(loss_x=AUTO)]
        whole = adopted.run(folder, 'plain', 'whole', losses=losses)
        adopted.run(folder, 'plain', 'parts', losses=losses, epochs=1)
        resumed = adopted.run(
            folder, 'plain', 'parts', losses=losses, resume=True
        )
    finally:
        auto_weight.STEPS = kept
    for runner in (whole, resumed):
        assert weight_of(runner).steps == 3
    assert weight_of(resumed).state() == weight_of(whole).state()
    assert torch.equal(adopted.trained(resumed), adopted.trained(whole))
    if dist.is_initialized():
        first, second = everywhere(weight_of(whole).state())
        assert first == second
        assert adopted.gap(whole) == 0


def test_resume_is_exact(folder):
    check_whole_and_in_parts(folder)
    saved = torch.load(folder / 'whole/epoch_1.pth', weights_only=False)
    assert saved['distill_weights'].keys() == {'loss_x'}
    plain = adopted.SmallNet().state_dict()
    assert saved['state_dict'].keys() == plain.keys()


@pytest.mark.slow
def test_two_ranks(group, tmp_path):  # noqa: F811
    group(2).run(check_whole_and_in_parts, tmp_path)


@pytest.mark.parametrize('name', ['accumulation', 'bfloat16', 'late_start'])
def test_settings(folder, name):
    runner = adopted.run(folder, name, 'work', losses=[dict(loss_x=AUTO)])
    weight = weight_of(runner)
    steps = runner.iter - (2 if name == 'late_start' else 0)
    assert weight.steps == len(weight.logs) == steps > 0


@pytest.mark.slow
def test_compiled_student(folder):
    found = []
    for name, compile_cfg in dict(
        eager=False, compiled=dict(backend='aot_eager')
    ).items():
        torch.compiler.reset()
        runner = adopted.run(
            folder,
            'plain',
            name,
            compile=compile_cfg,
            losses=[dict(loss_x=AUTO)],
        )
        found.append(torch.tensor(weight_of(runner).logs))
    torch.testing.assert_close(*found)


def test_nothing_is_recorded_once_it_is_set(detector, monkeypatch):
    monkeypatch.setattr(auto_weight, 'STEPS', 2)
    student, teacher, data = detector
    before = hooks_of(student)
    distiller = Distiller(dict(loss_x=TERMS['maps']))
    distiller.attach(student, [Teacher(**teacher)], None)
    attached = hooks_of(student)
    values = []
    for _ in range(4):
        student(**data, mode='loss')
        values.append(distiller.auto_weights['loss_x'].value)
    assert values[1] == values[2] == values[3]
    assert before < hooks_of(student) < attached
    assert distiller._outputs == {}
    distiller.detach()
    assert hooks_of(student) == before


def hooks_of(model):
    return sum(
        len(m._forward_hooks) + len(m._forward_pre_hooks)
        for m in model.modules()
    )
