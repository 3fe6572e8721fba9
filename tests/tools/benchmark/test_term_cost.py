"""What terms take, made again from what they read in a step."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from mmkd_plugin import Distiller
from mmkd_plugin.taps.roi.roi_heads import box_heads
from mmkd_plugin.teachers.teacher import Teacher
from tests.helpers import tiny
from tests.helpers.benchmarks import rows

pytestmark = pytest.mark.slow

BCCD = Path(__file__).resolve().parents[3] / 'configs' / 'bccd'
CROSSED = dict(
    loss_kd=dict(
        type='KDLoss', tau=3.0, tap=dict(type='RoIHeadTap', crossed=True)
    ),
    loss_box=dict(type='BoxL1Loss', tap=dict(type='RoIBoxTap', crossed=True)),
)
LOSSES = dict(
    loss_ckd=dict(type='CKDLoss', tau=1.0, loss_weight=1.0),
    loss_own=dict(type='BoxL1Loss', tap=dict(type='RoIBoxTap', rows='label')),
    loss_pkd=dict(type='PKDLoss', loss_weight=6.0),
    loss_reviewkd=dict(
        type='ReviewKDLoss',
        student_channels=[16] * 5,
        teacher_channels=[16] * 5,
        mid_channels=4,
        loss_weight=1.0,
    ),
    **CROSSED,
)


@pytest.fixture(params=[0, 3], ids=['one head', 'cascade'])
def made(run_benchmark, tmp_path, request):
    """A step of a detector: its output, and its terms made again."""
    from stepping import request_of
    from term_cost import again

    stages = request.param
    model = tiny.build_detector(stages=stages).train()
    distiller = Distiller(LOSSES)
    teacher = tiny.save_teacher(
        tmp_path / 'teacher.pth', width=16, stages=stages
    )
    distiller.attach(model, [Teacher(**teacher)])
    output = {}

    def step():
        data = model.data_preprocessor(tiny.batch(0, 1), True)
        output.update(model(**data, mode='loss'))

    hook = Hooked(distiller)
    runner = SimpleNamespace(
        hooks=[hook], train_loop=SimpleNamespace(step=step), model=model
    )
    asked = request_of(runner)
    return runner, asked, output, again(runner, asked)


class Hooked:
    """In place of a hook of a runner."""

    def __new__(cls, distiller):
        from mmkd_plugin import DistillHook

        hook = DistillHook.__new__(DistillHook)
        hook.distiller = distiller
        return hook


def test_terms_are_those_of_the_step(made):
    runner, request, output, make = made
    assert list(request.stages) == list(LOSSES)
    for name in LOSSES:
        value = make(name)
        assert value.requires_grad
        torch.testing.assert_close(value, output[name])
    wanted = sum(output[name] for name in LOSSES)
    torch.testing.assert_close(make(*LOSSES), wanted)
    # Their graph ends at what they read: the student gets no gradient.
    make(*LOSSES).backward()
    assert all(p.grad is None for p in runner.model.parameters())
    loss = runner.hooks[0].distiller.losses['loss_reviewkd']
    assert all(p.grad is not None for p in loss.parameters())


def test_crossed_terms_run_the_head_once_together(made):
    runner, _, _, make = made
    (teacher,) = runner.hooks[0].distiller.teachers
    calls = []
    # Of a cascade, the head of its last stage.
    box_heads(teacher.model)[-1].head.register_forward_hook(
        lambda *call: calls.append(torch.is_grad_enabled())
    )
    make('loss_ckd')
    assert calls == []
    make(*CROSSED)
    assert calls == [True]
    for name in CROSSED:
        make(name)
    assert calls == [True] * 3
    assert runner.hooks[0].distiller.taps[-1]._records[0].take() is None


@pytest.mark.parametrize(
    'method, terms',
    [('crosskd', ['loss_kd', 'loss_box']), ('pkd', ['loss_pkd'])],
)
def test_step(run_benchmark, tmp_path, method, terms):
    """Of configs without a loss of the models' own logits."""
    out = run_benchmark(
        'step',
        BCCD / f'frcnn_r18w32_r18w8_{method}.py',
        *('--size', 64, 96, '--rounds', 1, '--threads', 1),
        *('--json', tmp_path / 'found.json'),
    )
    found = json.loads((tmp_path / 'found.json').read_text())
    assert found['samples'] == (128 if method == 'crosskd' else None)
    assert list(found['terms']) == [*terms, 'all']
    printed = rows(out)
    for name, cost in found['terms'].items():
        assert min(cost.values()) > 0
        assert printed[name][0] == pytest.approx(cost['forward'], abs=6e-4)
    assert found['own_time']['backward'] == found['terms']['all']['backward']
    crossing = "network: teacher's head, crossed"
    if method == 'crosskd':
        assert found['parts'][crossing] > 0
    else:
        assert crossing not in found['parts']


def test_methods_side_by_side(run_benchmark, tmp_path):
    out = run_benchmark(
        'methods',
        *('--methods', 'ckd', 'cwd', 'reviewkd'),
        *('--size', 64, 96, '--rounds', 1, '--threads', 1),
        *('--json', tmp_path / 'found.json'),
    )
    found = json.loads((tmp_path / 'found.json').read_text())['rows']
    assert list(found) == ['ckd', 'cwd', 'reviewkd']
    printed = rows(out)
    for name, row in found.items():
        assert printed[name][0] == pytest.approx(
            row['step']['median'], abs=6e-3
        )
        assert row['own'] > 0 and row['bytes'] > 0
    # Of 256 channels beside 32: more than a tiny student's own step.
    assert found['reviewkd']['own'] > 5 * found['ckd']['own']
    assert found['reviewkd']['memory'] > 1.5


def test_method_that_is_none(run_benchmark):
    with pytest.raises(SystemExit, match='--methods to be among .*pkd.* got'):
        run_benchmark('methods', '--methods', 'no_such')


def test_tools_that_need_other_terms_say_so(run_benchmark):
    pkd = BCCD / 'frcnn_r18w32_r18w8_pkd.py'
    for name, options, words in (
        ('teacher', (pkd, '--size', 64, 96), "both models' own logits"),
        ('growth', ('--config', pkd, '--axes', 'rois'), 'features alone'),
    ):
        with pytest.raises(SystemExit, match=words):
            run_benchmark(name, *options, '--rounds', 1)
