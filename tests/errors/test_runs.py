"""What a command does around its errors: order, processes, own parts."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mmkd_plugin.cli import launch
from tests.errors.cases_data import annotation, coco
from tests.helpers import tiny
from tests.helpers.commands import REPO
from tests.helpers.errors_page import ROWS, pattern


@pytest.mark.slow
def test_command_in_a_process_of_its_own(world):
    command = [
        *(sys.executable, REPO / 'tools' / 'train.py', world.config()),
        *('--cfg-options', 'custom_hooks.0.tua=2'),
    ]
    result = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=600,
        env=dict(os.environ, PYTHONPATH=str(REPO)),
    )
    # The data is unknown in that process, the hook's argument comes first.
    assert result.returncode == 1
    assert 'Traceback' not in result.stderr
    printed = result.stderr.splitlines()[-1]
    wanted = pattern(ROWS['hook-argument'])
    assert re.fullmatch(f'error: {wanted}', printed), printed
    assert not list(world.folder.glob('work/**/*.pth'))


def test_traceback_on_demand(world, monkeypatch):
    monkeypatch.setenv('MMKD_TRACEBACK', '1')
    ended = world.train(world.loss(type='KDLoss', tau=0))
    assert ended.code == 70
    assert 'Traceback' in ended.output
    assert 'Expected argument `tau`' in ended.output


def test_data_is_checked_before_the_teacher_is_read(world):
    Path('teacher.pth').unlink()
    world.teachers = None  # not copied again
    world.use = lambda kind: setattr(world, 'kind', kind) or world
    printed = coco(world, text='hello').error
    assert re.fullmatch(pattern(ROWS['annotation-not-json']), printed)


def test_begin_after_the_end_is_warned_of(world):
    ended = world.train(world.hook(begin=1))
    assert ended.code == 0, ended.output
    assert 'Nothing will be distilled: `begin` is 1' in ended.output
    assert 'Nothing will' not in world.train().output


# What a user's own module may raise, and where.
OWN = """
from mmengine.hooks import Hook
from mmengine.registry import DATASETS, HOOKS, MODELS, TASK_UTILS
from torch import nn

from mmkd_plugin import MMKDError
from mmkd_plugin.taps import ClsHeadTap
from mmkd_plugin.exceptions import MMKDTypeError
from tests.helpers.commands import NamedPictures


class OwnError(MMKDError):
    def __init__(self, name, value=1):
        super().__init__(f'{name} is {value}: correct it.')


class OwnTypeError(MMKDTypeError):
    pass


def complain(place):
    raise OwnError(place)


@MODELS.register_module(force=True)
class OwnLoss(nn.Module):
    def forward(self, student, teacher, labels, weights):
        complain('the forward')


@TASK_UTILS.register_module(force=True)
class OwnTap(ClsHeadTap):
    def take(self, teacher):
        raise OwnTypeError('the tap is 1: correct it.')


@DATASETS.register_module(force=True)
class OwnData(NamedPictures):
    def __getitem__(self, index):
        complain('a worker')


@HOOKS.register_module(force=True)
class OwnHook(Hook):
    def __init__(self, stage):
        setattr(self, stage, self.stop)

    def stop(self, runner, **kwargs):
        try:
            raise OwnTypeError('the hook is 1: correct it.')
        except OwnTypeError as error:
            raise ValueError('it failed') from error


@MODELS.register_module(force=True)
class OwnPart(nn.Module):
    def __init__(self):
        complain('a part')
"""


@pytest.fixture
def own(world, monkeypatch):
    world.file('own_parts.py', OWN)
    monkeypatch.syspath_prepend(str(world.folder))
    monkeypatch.delitem(sys.modules, 'own_parts', raising=False)
    world.imports = dict(
        custom_imports=dict(imports=['own_parts'], allow_failed_imports=False)
    )
    return world


@pytest.mark.parametrize('stage', ['before_run', 'before_train', 'after_iter'])
def test_own_hook_ends_with_its_sentence(own, stage):
    hook = dict(type='OwnHook', stage=stage.replace('_iter', '_train_iter'))
    ended = own.train(own.hook(), hook, **own.imports)
    assert ended.error == 'the hook is 1: correct it.', ended.output


@pytest.mark.slow
def test_own_parts_end_with_their_sentences(own):
    ended = own.train(own.loss(type='OwnLoss'), **own.imports)
    assert ended.error == 'the forward is 1: correct it.', ended.output
    ended = own.train(own.hook(tap=dict(type='OwnTap')), **own.imports)
    assert ended.error == 'the tap is 1: correct it.', ended.output
    ended = own.train(own.loss(type='OwnPart'), **own.imports)
    assert ended.error == 'a part is 1: correct it.', ended.output
    for workers in (0, 1):
        data = own.loader(dict(type='OwnData'), num_workers=workers)
        ended = own.train(train_dataloader=data, **own.imports)
        assert ended.error == 'a worker is 1: correct it.', ended.output


def test_own_module_that_complains_while_it_is_imported(own):
    own.file('own_parts.py', f'{OWN}\ncomplain("the module")\n')
    ended = own.train(**own.imports)
    assert ended.error == 'the module is 1: correct it.', ended.output
    option = 'custom_imports.imports=own_parts'
    ended = own.train(options=['--cfg-options', option])
    assert ended.error == 'the module is 1: correct it.', ended.output


def test_own_loss_with_a_mistake_shows_its_traceback(own):
    own.file('own_parts.py', OWN.replace("complain('the forward')", '1 / 0'))
    ended = own.train(own.loss(type='OwnLoss'), **own.imports)
    assert ended.code == 70
    assert 'ZeroDivisionError' in ended.output


@pytest.mark.slow
@pytest.mark.skipif(
    sys.platform != 'linux' or os.geteuid() != 0,
    reason='only root mounts a small disk',
)
def test_disk_that_is_full(world, monkeypatch):
    """The run ends with the sentence when the config is to be written."""
    work = world.folder / 'work'
    work.mkdir()
    mounted = subprocess.run(
        ['mount', '-t', 'tmpfs', '-o', 'size=8k', 'tmpfs', work],
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        pytest.skip(f'no small disk: {mounted.stderr.strip()}')
    try:
        printed = world.train().error
        assert re.fullmatch(pattern(ROWS['work-dir-full']), printed), printed
        assert not list(work.iterdir())
        monkeypatch.setattr(launch, 'LEAST_SPACE', 0)
        printed = world.train().error
        assert re.fullmatch(pattern(ROWS['disk-full']), printed), printed
    finally:
        subprocess.run(['umount', '-l', work], check=True)


@pytest.mark.slow
def test_data_without_fault_is_accepted(world):
    """Boxes of no area are left out, and the others are enough."""
    boxes = [annotation(), annotation(id=2, bbox=[1, 1, 0, 0], area=0)]
    for key in ('times', 'datasets', ''):
        ended = coco(world, wrapped=key, annotations=boxes)
        assert ended.code == 0, ended.output
        error = coco(world, wrapped=key, classes=('cat', 'bus')).error
        assert re.fullmatch(pattern(ROWS['categories-some']), error), error


def test_categories_are_found_among_other_keys(world):
    """The names are read without parsing the file; it may be tricky."""
    keys = dict(keypoints=['a]', 'b'], skeleton=[[1, 2]])
    content = dict(
        info=dict(text='"categories": [1]'),
        images=[dict(id=1, file_name='a.png', width=64, height=64)],
        categories=[
            dict(id=i, name=name, **keys)
            for i, name in enumerate(tiny.CLASSES)
        ],
        annotations=[annotation()],
    )
    text = json.dumps(content)
    ended = coco(world, text=text)
    assert ended.code == 0, ended.output
    error = coco(world, text=text, classes=('dog', 'cat', 'owl')).error
    assert 'in the order cat, dog, owl' in error
