"""Which checkpoint is resumed."""

import os

import pytest
import torch

from mmkd_plugin.checkpoints.unpickling import UnsafeFileError
from mmkd_plugin.resume.last_checkpoint import (
    last_named,
    name_last,
    repair_last,
)


def save(path, age, optimizer=True, **more):
    content = dict(meta={}, state_dict={}, message_hub={}, **more)
    if optimizer:
        content['optimizer'] = {}
    torch.save(content, path)
    os.utime(path, (1e9 - age, 1e9 - age))
    return path


def test_whole_one_stays(tmp_path):
    save(tmp_path / 'epoch_2.pth', 1)
    # It was saved so on purpose.
    named = save(tmp_path / 'epoch_1.pth', 2, optimizer=False)
    name_last(tmp_path, named)
    assert repair_last(tmp_path) is None
    assert last_named(tmp_path) == str(named)


def test_directory_without_checkpoint_starts_from_the_beginning(tmp_path):
    save(tmp_path / 'best_mAP_epoch_1.pth', 0, optimizer=False)
    assert 'no checkpoint' in repair_last(tmp_path)
    assert last_named(tmp_path) is None


@pytest.mark.parametrize(
    'state, problem',
    [
        ('missing', 'is not there'),
        ('truncated', 'is damaged'),
        ('foreign', "it lacks 'meta'"),
        ('unnamed', 'is missing or empty'),
        ('empty', 'is missing or empty'),
    ],
)
def test_newest_whole_one_takes_its_place(tmp_path, state, problem):
    named = save(tmp_path / 'epoch_3.pth', 0)
    name_last(tmp_path, named)
    if state == 'missing':
        named.unlink()
    elif state == 'truncated':
        named.write_bytes(named.read_bytes()[:-100])
    elif state == 'foreign':
        torch.save(dict(weight=torch.ones(1)), named)
    elif state == 'empty':
        name_last(tmp_path, '')
        named.unlink()
    else:
        (tmp_path / 'last_checkpoint').unlink()
        named.unlink()
    save(tmp_path / 'best.pth', 0, optimizer=False)
    save(tmp_path / 'epoch_1.pth', 5)
    wanted = save(tmp_path / 'epoch_2.pth', 3)
    (tmp_path / 'junk.pth').write_text('no checkpoint')
    message = repair_last(tmp_path)
    assert problem in message
    assert f'the newest whole checkpoint of this run, {wanted}. ' in message
    assert 'junk.pth is damaged' in message
    assert 'best.pth is no checkpoint of a training run: it lacks' in message
    assert last_named(tmp_path) == str(wanted)


def test_moved_directory(tmp_path):
    moved = save(tmp_path / 'epoch_1.pth', 0)
    name_last(tmp_path, '/no/longer/epoch_1.pth')
    assert f'of this run, {moved}.' in repair_last(tmp_path)


def test_named_but_none_whole(tmp_path):
    name_last(tmp_path, tmp_path / 'epoch_1.pth')
    with pytest.raises(ValueError, match='there is no whole checkpoint'):
        repair_last(tmp_path)


def test_elsewhere_is_left_to_mmengine(tmp_path):
    name_last(tmp_path, 's3://bucket/epoch_1.pth')
    assert repair_last(tmp_path) is None


def test_refused_file_is_not_passed_over(tmp_path):
    save(tmp_path / 'epoch_1.pth', 1)
    named = save(tmp_path / 'epoch_2.pth', 0, more=os.system)
    name_last(tmp_path, named)
    with pytest.raises(
        UnsafeFileError, match='epoch_2.pth was refused.*system'
    ):
        repair_last(tmp_path)
