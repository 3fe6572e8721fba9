"""The parts of the quickstart, on tiny inputs, and the shipped teacher."""

import subprocess
import sys

import pytest
import quickstart

from tests.helpers.logs import write_log

pytestmark = pytest.mark.slow


def test_table():
    def run(value, **more):
        return dict(mAP=value, AP50=value + 0.1, AP75=value, **more)

    one = quickstart.compare(
        {
            'teacher': [run(0.6)],
            'student': [run(0.4, step=0.1)],
            'student + CKD': [run(0.45, step=0.2)],
        }
    ).splitlines()
    assert len({len(line) for line in one}) == 1
    assert [c.strip() for c in one[3].split('|')[1:-1]] == [
        'student',
        '0.400',
        '0.500',
        '0.400',
        '0.100 s',
    ]
    assert [c.strip() for c in one[5].split('|')[1:-1]] == [
        'difference',
        '+0.050',
        '+0.050',
        '+0.050',
        '',
    ]
    several = quickstart.compare(
        {
            'teacher': [run(0.6)],
            'student': [run(0.40, step=0.1), run(0.42, step=0.1)],
            'student + CKD': [run(0.43, step=0.2), run(0.43, step=0.2)],
        }
    ).splitlines()
    assert '0.410 ± 0.014' in several[3]
    # The difference is paired by seed: +0.03 and +0.01.
    assert '+0.020 ± 0.014' in several[5]


def test_failed_run_is_reported(tmp_path):
    process = quickstart.launch(
        'train.py', 'no_such_config', tmp_path / 'run', {}
    )
    process.wait()
    with pytest.raises(SystemExit, match='no_such_config'):
        quickstart.check(process, tmp_path / 'run')


def test_watch_prints_every_epoch(tmp_path, capsys):
    logs = {name: tmp_path / name for name in ('a', 'b')}
    for path in logs.values():
        write_log(path, loss=[3, 2.5, 1.5, 1.25], loss_ckd=[1, 1, 0.5, 0.25])
    processes = {
        name: subprocess.Popen([sys.executable, '-c', '']) for name in logs
    }
    quickstart.watch(processes, logs, 2)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[-2:]] == ['1/2', '2/2']
    assert lines[-1].split()[1:] == [
        '0:00',
        '1.000',
        '0.200',
        '1.000',
        '0.200',
    ]


def test_shipped_teacher_loads_strictly():
    pytest.importorskip('mmdet')
    import torch

    from mmkd_plugin.teachers.teacher import Teacher

    assert quickstart.WEIGHTS.stat().st_size < 3 * 2**20
    content = torch.load(quickstart.WEIGHTS, weights_only=True)
    assert ''.join(content['meta']['dataset_meta']['classes']) == '0123456789'
    config = quickstart.CONFIGS / f'{quickstart.TEACHER}.py'
    teacher = Teacher(str(config), str(quickstart.WEIGHTS)).model
    for name, value in teacher.state_dict().items():
        assert torch.equal(value, content['state_dict'][name].to(value.dtype))
        assert value.isfinite().all()


def test_config_of_the_pair_differs_by_the_teacher_alone():
    from mmengine.config import Config

    alone, taught = (
        Config.fromfile(quickstart.CONFIGS / f'{name}.py')
        for name in quickstart.RUNS.values()
    )
    hooks = taught.pop('custom_hooks')
    taught.pop('custom_imports')
    assert alone.to_dict() == taught.to_dict()
    assert [hook['type'] for hook in hooks] == ['CKDHook']
    assert hooks[0]['teacher']['checkpoint'] == str(quickstart.WEIGHTS)
