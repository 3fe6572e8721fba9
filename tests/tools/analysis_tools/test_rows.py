"""tools/analysis_tools/rows.py: what the losses of a config are given."""

import pytest
import rows
import torch
import weigh_terms

from mmkd_plugin import DistillHook
from tests.helpers import tiny, tiny_cls
from tests.helpers.detector_runs import make_runner
from tests.helpers.tool_runs import hook_cfg, run, write_config


@pytest.fixture
def runner(tmp_path):
    teacher = tiny.save_teacher(tmp_path / 'teacher.pth', width=16)
    return make_runner(tmp_path, [hook_cfg(teacher)])


def hook_of(runner):
    (hook,) = [h for h in runner.hooks if isinstance(h, DistillHook)]
    return hook


def test_rows_are_those_of_the_training(runner):
    hook = hook_of(runner)
    student, teacher, labels, weights = rows.read_rows(runner, hook, 2)
    assert student.shape == teacher.shape == (len(labels), 4)
    assert len(labels) == len(weights) > 0
    assert labels.dtype == torch.int64
    assert not torch.equal(student, teacher)
    assert not student.requires_grad
    assert not any(loss._forward_pre_hooks for loss in hook.losses.values())
    # Two images a batch, 32 RoIs an image at most.
    assert len(labels) <= 2 * 2 * 32
    (fewer, *_) = rows.read_rows(runner, hook, 1)
    assert len(fewer) < len(student)


def test_no_row_is_an_error(runner):
    with pytest.raises(SystemExit) as caught:
        rows.read_rows(runner, hook_of(runner), 0)
    assert caught.value.code == (
        'error: No sample reached the losses in 0 batches: take more '
        '--batches, or check that the training images have boxes.'
    )


def test_student_is_loaded_wholly(tmp_path):
    teacher = tiny_cls.save_teacher(tmp_path / 'teacher.pth', width=8)
    config = write_config(tmp_path, [hook_cfg(teacher)], classifier=True)

    def rows_with(student):
        parser = rows.build_parser('', batches=1)
        args = parser.parse_args(
            [config, '--student', str(student), '--work-dir', str(tmp_path)]
        )
        return rows.collect(args)[2]

    other = tiny_cls.save_teacher(tmp_path / 'student.pth', seed=3)
    model = tiny_cls.build_classifier(3)
    first, *_ = rows_with(other['checkpoint'])
    batch = model.data_preprocessor(tiny_cls.batch(0, 1, 2, 3), True)
    logits = model.train()(batch['inputs'], mode='tensor')
    torch.testing.assert_close(first, logits)
    with pytest.raises(ValueError, match="student's checkpoint .* not fit"):
        rows_with(teacher['checkpoint'])


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


def test_more_rows_than_there_are(tmp_path, monkeypatch, capsys):
    teacher = tiny_cls.save_teacher(tmp_path / 'teacher.pth', width=8)
    config = write_config(tmp_path, [hook_cfg(teacher)], classifier=True)
    options = ['--rows', '64', '--batches', '1']
    code, _ = run(monkeypatch, capsys, weigh_terms, config, *options)
    assert code == (
        'error: 1 batches gave 4 rows, fewer than --rows 64: take more '
        '--batches or fewer --rows.'
    )
    options = ['--rows', '4', '--batches', '1']
    code, out = run(monkeypatch, capsys, weigh_terms, config, *options)
    assert code == 0
    terms = {line.split(' | ')[2] for line in out.splitlines()[2:]}
    assert terms == {'loss_rld', 'loss_ckd'}
