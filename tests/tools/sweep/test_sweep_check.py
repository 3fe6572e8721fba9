"""Runs are checked before the first training."""

import inspect_config
import pytest
import sweep_check
import torch
from sweep_check import check_jobs, examine
from sweep_job import Job
from sweep_plan import Plan, PlanError, Run

from tests.helpers import tiny_cls
from tests.helpers.commands import unchanged

ACCURACY = dict(type='Accuracy', topk=1)


@pytest.fixture
def look(world, tmp_path):
    """Examine a config, `changes` replacing parts of it."""

    def look(hooks=None, metric='accuracy/top1', **changes):
        val = dict(
            val_dataloader=world.loader(),
            val_cfg=dict(),
            val_evaluator=ACCURACY,
        )
        path = world.config(hooks, **{**val, **changes})
        run = Run('kd', path, {}, [0], None)
        with unchanged():
            return examine(Plan(metric, dict(kd=run)), run, tmp_path / 'out')

    return look


def test_what_fits(look, world, tmp_path):
    before = sorted(tmp_path.rglob('*'))
    problems, told = look()
    assert (problems, told.split(' pulls ')[0]) == ([], 'fits, loss_kd')
    assert told.endswith(' times the cross entropy')
    assert look([]) == ([], 'fits')
    left = {p.name for p in {*tmp_path.rglob('*')} - {*before}}
    assert left <= {'config.py'}


def test_everything_that_does_not_fit(look, world):
    hook = world.teacher(checkpoint='nowhere.pth')
    problems, _ = look([hook], metric='coco/bbox_mAP')
    assert len(problems) == 2
    assert "'coco/bbox_mAP'" in problems[0] and 'nowhere' in problems[1]
    data = world.loader(dict(type='NamedPictures', classes=('a', 'b')))
    (problem,), _ = look([hook], val_dataloader=data)
    assert 'classes' in problem


def test_no_validation(look):
    problems, _ = look(val_dataloader=None, val_cfg=None, val_evaluator=None)
    assert 'does not validate' in problems[0]


def test_no_gradient(look, world):
    hook = world.loss(type='KDLoss', tau=1.0, loss_weight=0.0)
    (problem,), _ = look([hook])
    assert 'No term of its hook gives the student a gradient' in problem


def test_long_warmup(look):
    warmup = dict(type='LinearLR', by_epoch=False, begin=0, end=50)
    _, told = look(param_scheduler=warmup)
    assert 'LinearLR of 50 iterations is longer than the training of 1' in told
    for end in (1, float('inf')):
        _, told = look(param_scheduler=[dict(warmup, end=end)])
        assert 'longer' not in told


def test_mistakes_of_others_are_problems_too(look, monkeypatch):
    def inspect(*args):
        raise RuntimeError('CUDA out of memory')

    monkeypatch.setattr(inspect_config, 'inspect', inspect)
    assert look()[0] == ['RuntimeError: CUDA out of memory']


NEEDS = 'custom_hooks.0.teacher.checkpoint'


@pytest.fixture
def pair(world, tmp_path):
    """A plan whose teacher is trained by it, too."""

    def pair(**teacher):
        val = dict(
            val_dataloader=world.loader(), val_cfg={}, val_evaluator=ACCURACY
        )
        world.config([], **val, **teacher)
        (tmp_path / 'config.py').rename(tmp_path / 'big.py')
        student = world.config(**val)
        runs = dict(
            big=Run('big', 'big.py', {}, [3], None),
            kd=Run('kd', student, {NEEDS: '{runs.big}'}, [0], None),
        )
        return Plan('accuracy/top1', runs), runs['kd'], tmp_path / 'out'

    with unchanged():
        yield pair


def test_a_teacher_that_is_yet_to_be_trained(pair, tmp_path):
    (tmp_path / 'teacher.pth').unlink()
    problems, told = examine(*pair())
    assert (problems, told[:13]) == ([], 'fits, loss_kd')
    assert not (tmp_path / 'out').exists()


def test_a_teacher_to_be_trained_that_will_not_fit(pair, world):
    model = tiny_cls.classifier_cfg(width=32).to_dict()
    problems, _ = examine(*pair(model=model))
    assert problems and 'teacher' in problems[0]


def test_a_teacher_that_has_been_trained(pair, tmp_path):
    plan, run, out = pair()
    folder = plan.runs['big'].folder(out, 3)
    folder.mkdir(parents=True)
    torch.save(dict(state_dict={}), folder / 'epoch_1.pth')
    (folder / 'last_checkpoint').write_text(str(folder / 'epoch_1.pth'))
    problems, _ = examine(plan, run, out)
    assert problems and str(folder) in problems[0]


@pytest.mark.slow
def test_in_processes_of_their_own(tmp_path, capsys):
    run = Run('kd', 'nowhere.py', {}, [0, 1], None)
    other = Run('rld', str(tmp_path / 'empty.py'), {}, [0], None)
    (tmp_path / 'empty.py').write_text('')
    plan = Plan('m', dict(kd=run, rld=other))
    jobs = [
        Job(plan, r, seed, tmp_path, {})
        for r in (run, other)
        for seed in r.seeds
    ]
    with pytest.raises(PlanError) as caught:
        check_jobs(jobs, ['0', '0'], [])
    assert str(caught.value) == (
        '2 of 2 runs would not train, so nothing was started: correct what is '
        'said above of kd, rld, or leave them out.'
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == 'Checking 2 runs on noise'
    assert lines[1].startswith("  kd: The config file 'nowhere.py' was not")
    assert lines[2].startswith('  rld: The config')
    # Stopped before anything is known.
    assert check_jobs(jobs, [None], [15]) is None


@pytest.mark.slow
def test_a_process_that_is_killed(tmp_path, monkeypatch):
    run = Run('kd', str(tmp_path / 'c.py'), {}, [0], None)
    (tmp_path / 'c.py').write_text("custom_imports = dict(imports='kills')")
    (tmp_path / 'kills.py').write_text('import os\nos.kill(os.getpid(), 9)')
    monkeypatch.syspath_prepend(str(tmp_path))
    jobs = [Job(Plan('m', dict(kd=run)), run, 0, tmp_path, {})]
    with pytest.raises(PlanError, match='memory is short'):
        check_jobs(jobs, [None], [])


def test_where_the_inspection_is():
    assert (sweep_check.INSPECT / 'inspect_config.py').is_file()
