"""The terms in MMEngine's visualization backends."""

import json

import pytest

from tests.helpers import tiny_cls
from tests.helpers.classifier_runs import hook_cfg, make_runner

SHOWN = (
    'loss',
    'loss_cls',
    'loss_kd',
    'loss_ckd',
    'kd_agreement',
    'kd_teacher_acc',
)


@pytest.mark.slow
def test_tensorboard(tmp_path):
    pytest.importorskip('tensorboard')
    from tensorboard.backend.event_processing import event_accumulator

    teacher = tiny_cls.save_teacher(tmp_path / 'teacher.pth', width=8)
    visualizer = dict(
        type='Visualizer',
        vis_backends=[
            dict(type='LocalVisBackend'),
            dict(type='TensorboardVisBackend'),
        ],
    )
    runner = make_runner(tmp_path, [hook_cfg(teacher)], visualizer=visualizer)
    runner.train()
    folder = tmp_path / 'work' / runner.timestamp / 'vis_data'
    lines = (folder / 'scalars.json').read_text().splitlines()
    *training, validation = map(json.loads, lines)
    events = event_accumulator.EventAccumulator(str(folder)).Reload()
    for name in SHOWN:
        found = [(e.step, e.value) for e in events.Scalars(name)]
        expected = [(r['step'], pytest.approx(r[name])) for r in training]
        assert found == expected and len(found) == 2
    (event,) = events.Scalars('accuracy/top1')
    # Validations count epochs, training counts iterations.
    assert event.step == validation['step'] == 1
    assert event.value == pytest.approx(validation['accuracy/top1'])
