"""readings.py: what the losses of a config are given."""

import pytest
import readings
import torch
import weigh_terms

from mmkd_plugin import Distiller, DistillHook
from mmkd_plugin.teachers.teacher import Teacher
from tests.helpers import tiny, tiny_cls
from tests.helpers.detector_runs import make_runner
from tests.helpers.tool_runs import hook_cfg, run, write_config

KD = dict(type='KDLoss', tau=1.0)
PKD = dict(type='PKDLoss', loss_weight=6.0)


@pytest.fixture
def runner(tmp_path):
    teacher = tiny.save_teacher(tmp_path / 'teacher.pth', width=16)
    return make_runner(tmp_path, [hook_cfg(teacher)])


@pytest.fixture
def distiller(runner):
    (hook,) = [h for h in runner.hooks if isinstance(h, DistillHook)]
    teachers = [Teacher(**cfg) for cfg in hook.teacher_cfgs]
    hook.distiller.attach(runner.model, teachers, tiny.CLASSES)
    return hook.distiller


def test_samples_are_those_of_the_training(runner, distiller):
    reading = readings.read(runner, distiller, distiller.taps[0], 2)
    student, teacher, labels, weights = reading
    assert student.shape == teacher.shape == (len(labels), 4)
    assert len(labels) == len(weights) > 0
    assert labels.dtype == torch.int64
    assert not torch.equal(student, teacher)
    assert not student.requires_grad
    assert not any(
        loss._forward_pre_hooks for loss in distiller.losses.values()
    )
    # Two images a batch, 32 RoIs an image at most.
    assert len(labels) <= 2 * 2 * 32
    fewer = readings.read(runner, distiller, distiller.taps[0], 1)
    assert len(fewer.student) < len(student)


def test_no_sample_is_an_error(runner, distiller):
    with pytest.raises(SystemExit) as caught:
        readings.read(runner, distiller, distiller.taps[0], 0)
    assert caught.value.code == (
        'error: No sample reached the losses in 0 batches: take more '
        '--batches, or check that the training images have boxes.'
    )


def test_student_is_loaded_wholly(tmp_path):
    teacher = tiny_cls.save_teacher(tmp_path / 'teacher.pth', width=8)
    config = write_config(tmp_path, [hook_cfg(teacher)], classifier=True)

    def logits_of(student):
        parser = readings.build_parser('', batches=1)
        args = parser.parse_args(
            [config, '--student', str(student), '--work-dir', str(tmp_path)]
        )
        return readings.collect(args)[2].student

    other = tiny_cls.save_teacher(tmp_path / 'student.pth', seed=3)
    model = tiny_cls.build_classifier(3)
    first = logits_of(other['checkpoint'])
    batch = model.data_preprocessor(tiny_cls.batch(0, 1, 2, 3), True)
    logits = model.train()(batch['inputs'], mode='tensor')
    torch.testing.assert_close(first, logits)
    with pytest.raises(ValueError, match="student's checkpoint .* not fit"):
        logits_of(teacher['checkpoint'])


def test_student_that_is_missing(tmp_path, monkeypatch, capsys):
    config = write_config(tmp_path, [])
    code, _ = run(
        monkeypatch, capsys, weigh_terms, config, '--student', 'no.pth'
    )
    assert code == (
        "error: The checkpoint 'no.pth' of --student was not found: give the "
        'path or URL of trained weights.'
    )


def test_config_without_teacher(tmp_path, monkeypatch, capsys):
    config = write_config(tmp_path, [])
    code, _ = run(monkeypatch, capsys, weigh_terms, config)
    assert code == (
        f'error: The config {config!r} has 0 distillation hooks in '
        '`custom_hooks`, of which this command needs one: give a config with '
        'a teacher.'
    )


def test_more_samples_than_there_are(tmp_path, monkeypatch, capsys):
    teacher = tiny_cls.save_teacher(tmp_path / 'teacher.pth', width=8)
    config = write_config(tmp_path, [hook_cfg(teacher)], classifier=True)
    options = ['--samples', '64', '--batches', '1']
    code, _ = run(monkeypatch, capsys, weigh_terms, config, *options)
    assert code == (
        'error: 1 batches gave 4 samples, fewer than --samples 64: take more '
        '--batches or fewer --samples.'
    )
    options = ['--samples', '4', '--batches', '1']
    code, out = run(monkeypatch, capsys, weigh_terms, config, *options)
    assert code == 0
    terms = {line.split(' | ')[2] for line in out.splitlines()[2:]}
    assert terms == {'loss_rld', 'loss_ckd'}


def test_logits_of_a_config_with_several_taps(tmp_path):
    """Those of the models' own heads, wherever they stand."""
    teacher = tiny.save_teacher(tmp_path / 'teacher.pth', width=16)
    crossed = dict(
        type='KDLoss', tau=1.0, tap=dict(type='RoIHeadTap', crossed=True)
    )
    losses = dict(loss_crossed=crossed, loss_pkd=PKD, loss_kd=KD)
    tap = readings.tap_of_logits(Distiller(losses, dict(type='RoIHeadTap')))
    assert not tap.crossed
    assert type(tap).__name__ == 'RoIHeadTap'
    del losses['loss_kd']
    hook = hook_cfg(teacher, losses=losses)
    config = write_config(tmp_path, [hook])
    parser = readings.build_parser('', batches=1)
    args = parser.parse_args([config, '--work-dir', str(tmp_path)])
    with pytest.raises(SystemExit) as caught:
        readings.collect(args)
    assert caught.value.code == (
        'error: loss_crossed, loss_pkd read features, boxes or a crossed '
        'head, but this command tells of the logits of both models: give a '
        'config with a loss of logits, such as KDLoss.'
    )
