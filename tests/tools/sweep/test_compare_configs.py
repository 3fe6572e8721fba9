"""The configs that tools/compare.py trains."""

import copy
import os
from pathlib import Path

import pytest
from compare_configs import (
    check_methods,
    contents_of,
    data_of,
    epochs_of,
    method_names,
    write_configs,
    write_plan,
)
from mmengine.config import Config
from sweep_plan import PlanError, read_plan

from mmkd_plugin.cli.method_option import use_method

REPO = Path(__file__).parents[3]
CONFIGS = REPO / 'configs'
TEACHER = dict(config='teacher.py', checkpoint='teacher.pth')


def config(name):
    return Config.fromfile(CONFIGS / f'{name}.py')


def test_data_of_students(tmp_path):
    assert data_of(config('bccd/frcnn_r18w8')) == ''
    assert data_of(config('cifar100/resnet20')) == 'cifar100'
    assert data_of(config('imagenet/resnet18')) == 'imagenet'
    other = tmp_path / 'mine.py'
    for data in ('cifar100', 'imagenet'):
        name = dict(cifar100='resnet20', imagenet='resnet18')[data]
        other.write_text(f'_base_ = {str(CONFIGS / data / name)!r} + ".py"\n')
        assert data_of(Config.fromfile(other)) == data
    cfg = config('cifar100/resnet20')
    cfg.filename = str(other)
    inner = cfg.train_dataloader.dataset
    cfg.train_dataloader.dataset = dict(type='RepeatDataset', dataset=inner)
    assert data_of(cfg) == 'cifar100'


def test_names_of_methods():
    detector, cifar = method_names(''), method_names('cifar100')
    assert {'ckd', 'pkd', 'crosskd_gfl'} <= {*detector}
    assert {'ckd', 'ckd_240e', 'simkd'} <= {*cifar}
    assert 'ckd_240e' not in detector + method_names('imagenet')
    for name in detector + cifar:
        assert not name.startswith(('cifar100', 'imagenet')), name


@pytest.mark.parametrize(
    'names, expected',
    [
        (['ckd', 'crosskdd'], "'crosskdd' for detectors: did you mean cross"),
        (['cdk'], 'ckd'),
        (['cifar100_ckd'], "no method 'cifar100_ckd'"),
        (['qqqqqq'], 'qqqqqq. for detectors: known are at, '),
        (['../ckd'], 'no method'),
        (['student'], 'no method'),
        (['ckd', 'rld', 'ckd'], 'named twice'),
    ],
)
def test_methods_that_are_not_there(names, expected):
    with pytest.raises(PlanError, match=expected):
        check_methods(names, '')


def test_a_method_is_that_of_the_pair():
    """As `--cfg-options method=NAME` of a config of the pair."""
    for student, teacher, names in (
        ('resnet20', 'resnet56', ('simkd', 'dkd', 'kd', 'rld', 'vid')),
        ('mobilenetv2', 'vgg13', ('ckd', 'simkd')),
    ):
        given = dict(config=f'x/{teacher}.py', checkpoint='x.pth')
        cfg = config(f'cifar100/{student}')
        before = copy.deepcopy(cfg.to_dict())
        found = contents_of(cfg, given, names)
        assert cfg.to_dict() == before
        for name in names:
            pair = config(f'cifar100/{teacher}_{student}')
            use_method(pair, name)
            pair.custom_hooks[-1].teacher = given
            for key in ('teacher', 'distill', 'method'):
                pair.pop(key)
            cfg = Config(copy.deepcopy(before))
            cfg.merge_from_dict(found[name])
            assert cfg.to_dict() == pair.to_dict(), name


def test_hooks_of_the_student_are_kept():
    cfg = config('bccd/frcnn_r18w8')
    cfg.custom_hooks = [dict(type='EmptyCacheHook')]
    found = contents_of(cfg, TEACHER, ['ckd'])
    assert found == dict(
        student={},
        ckd=dict(
            custom_hooks=[
                dict(type='EmptyCacheHook'),
                dict(
                    type='CKDHook', tau=1.0, loss_weight=10.0, teacher=TEACHER
                ),
            ]
        ),
    )


def test_a_student_with_a_teacher_is_refused():
    with pytest.raises(PlanError, match='of the student alone'):
        contents_of(config('bccd/frcnn_r18w32_r18w8_ckd'), TEACHER, ['ckd'])


def test_epochs():
    cfg = config('cifar100/resnet20')
    found = contents_of(cfg, TEACHER, ['ckd', 'rld'])
    assert epochs_of(cfg, found) == dict(ckd=480)
    found = contents_of(cfg, TEACHER, ['ckd', 'rld'], 24)
    assert epochs_of(cfg, found) == {}
    assert {c['train_cfg']['max_epochs'] for c in found.values()} == {24}
    assert found['ckd']['param_scheduler'][0]['T_max'] == 24
    for name in ('student', 'rld'):
        (part,) = found[name]['param_scheduler']
        assert part['milestones'] == [15, 18, 21]
    assert found['rld']['custom_hooks'][0]['warmup'] == 2


@pytest.mark.parametrize('where', ['out', '/tmp'])
def test_what_is_written_is_what_is_trained(tmp_path, monkeypatch, where):
    monkeypatch.chdir(tmp_path)
    base = tmp_path / 'my' / 'student.py'
    base.parent.mkdir()
    base.write_text(f'_base_ = {str(CONFIGS / "bccd/frcnn_r18w8.py")!r}\n')
    out = tmp_path / 'out' if where == 'out' else tmp_path.parent / 'other'
    cfg = Config.fromfile(base)
    contents = contents_of(cfg, TEACHER, ['pkd', 'ckd'], 5)
    options = {'data_root': 'd/', 'a.b': [1, 'c d']}
    paths = write_configs(out, 'my/student.py', contents, options)
    for name, path in paths.items():
        assert os.path.isabs(path) == (where != 'out')
        found = Config.fromfile(path)
        wanted = Config.fromfile(base)
        wanted.merge_from_dict(contents[name])
        assert found.to_dict() == wanted.to_dict()
        first, run, _, inherited = Path(path).read_text().splitlines()[:4]
        assert first.startswith(f'# {name} of ')
        assert f"tools/train.py {path} --cfg-options data_root=d/ 'a.b=" in run
        relative = "'../../my/student.py'"
        assert inherited == '_base_ = ' + (
            relative if where == 'out' else repr(str(base))
        )
    plan = read_plan(str(write_plan(out, paths, [3, 4], 'm', {'a': 1})))
    assert [*plan.runs] == ['student', 'pkd', 'ckd']
    run = plan.runs['ckd']
    assert (run.config, run.seeds, run.baseline) == (
        paths['ckd'],
        [3, 4],
        'student',
    )
    assert run.cfg_options == {'a': 1} and plan.metric == 'm'
