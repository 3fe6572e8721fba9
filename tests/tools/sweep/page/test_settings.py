"""How the runs were made, and how to make them again."""

import json

from page import settings

from tests.helpers.sweep_pages import COMMIT, gains, make_data


def test_environment_is_that_of_the_logs(tmp_path):
    data = make_data(tmp_path, dict(student=gains(0, 0), kd=gains(1)))
    lines = ('Python: 3.11.7 (main)', 'PyTorch: 2.11.0', 'MMEngine: 0.10.12')
    assert settings.environments(data) == {
        lines: ['student, seed 0', 'student, seed 1', 'kd, seed 0']
    }
    for log in tmp_path.glob('*/*/*/*.log'):
        log.unlink()
    assert settings.environments(data) == {}
    assert any('mmengine' in text for text in settings.packages())


def test_teachers_and_differences(tmp_path):
    data = make_data(tmp_path, dict(student=gains(0), kd=gains(1), ckd={}))
    data.plan.runs['kd'].cfg_options = {'custom_hooks.0.tau': 2}
    path = tmp_path / 'kd' / 'seed_0' / 'settings.json'
    saved = json.loads(path.read_text())
    teacher = dict(config='configs/bccd/../neu/t.py', checkpoint='t.pth')
    saved['config']['custom_hooks'] = [
        dict(type='CKDHook', teacher=teacher),
        dict(teacher=[dict(config=dict(model=1), checkpoint='u.pth')]),
    ]
    saved['config']['model']['depth'] = 50
    saved['files'] = {'t.pth': 'abcd'}
    path.write_text(json.dumps(saved))
    alone, kd, ckd = settings.make_settings(data)
    assert alone['teachers'] == [] and alone['differences'] == []
    assert kd['options'] == ['custom_hooks.0.tau=2']
    first, second = kd['teachers']
    assert first['config'].endswith('configs/neu/t.py')
    assert (first['path'], first['sha256']) == ('t.pth', 'abcd')
    assert second == dict(
        config='a model in the config', path='u.pth', sha256=None
    )
    assert kd['differences'][0] == 'model.depth: 50, baseline 18'
    assert kd['differences'][1].startswith('custom_hooks: [{"type": "CKDHook"')
    assert kd['differences'][1].endswith(', baseline none')
    # Not begun: nothing is known.
    assert ckd['teachers'] == ckd['differences'] == ckd['commits'] == []


def test_many_differences_are_counted(tmp_path):
    data = make_data(tmp_path, dict(student=gains(0), kd=gains(1)))
    path = tmp_path / 'kd' / 'seed_0' / 'settings.json'
    config = {f'key_{index}': index for index in range(50)}
    path.write_text(json.dumps(dict(config=config, files={}, needs={})))
    lines = settings.make_settings(data)[1]['differences']
    # model, and 50 more.
    assert len(lines) == 41 and lines[-1] == '... and 11 more'


def test_commands(tmp_path):
    data = make_data(tmp_path, dict(student={3: [1, 2]}, kd={}, ckd=gains(1)))
    found = settings.make_commands(data)
    assert found['commit'] == COMMIT and found['whole'] is None
    start = f'python tools/train.py c.py --work-dir {tmp_path}'
    assert found['runs'] == dict(
        student=f'{start}/student/seed_3', ckd=f'{start}/ckd/seed_0'
    )
    command = ['python', 'tools/compare.py', 'a b.py']
    (tmp_path / 'compare.json').write_text(json.dumps(dict(command=command)))
    found = settings.make_commands(data)
    assert found['whole'] == "python tools/compare.py 'a b.py'"
    for commits in ([f'{COMMIT}-dirty'], ['None'], ['a', 'b']):
        data.rows['student']['commits'] = data.rows['ckd']['commits'] = commits
        assert settings.make_commands(data)['commit'] is None
