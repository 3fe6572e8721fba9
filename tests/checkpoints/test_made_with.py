"""What a checkpoint says of how it was made."""

import hashlib
import sys
from types import ModuleType

import pytest
import torch

import mmkd_plugin
from mmkd_plugin.checkpoints import made_with
from mmkd_plugin.checkpoints.made_with import hashes, note_origin, versions


def test_versions_are_those_in_use(monkeypatch):
    monkeypatch.delitem(sys.modules, 'mmdet', raising=False)
    monkeypatch.setitem(sys.modules, 'mmcv', ModuleType('mmcv'))
    found = versions()
    assert found['torch'] == torch.__version__
    assert type(found['torch']) is str  # not torch's own class
    assert found['mmkd_plugin'] == mmkd_plugin.__version__
    # Not used, and without a version.
    assert not {'mmdet', 'mmcv'} & {*found}


def test_hooks_add_to_what_others_have_noted(monkeypatch):
    monkeypatch.setattr(made_with, 'get_world_size', lambda: 4)
    checkpoint = dict(meta=dict(epoch=1))
    for files in (dict(a='1'), None, dict(b='2')):
        note_origin(checkpoint, files)
    assert checkpoint['meta'] == dict(
        epoch=1,
        made_with=dict(versions=versions(), ranks=4, files=dict(a='1', b='2')),
    )


def test_hashes(tmp_path, monkeypatch):
    path = tmp_path / 'a.pth'
    path.write_bytes(b'weights')
    digest = hashlib.sha256(b'weights').hexdigest()
    monkeypatch.setenv('HOME', str(tmp_path))
    assert hashes([str(path), '~/a.pth']) == {
        str(path): digest,
        '~/a.pth': digest,
    }
    with pytest.raises(ValueError, match='not read here'):
        hashes(['s3://bucket/a.pth'])


def test_only_the_process_that_saves_reads_the_files(monkeypatch):
    """The others ask for the files, since a download waits for all."""
    asked = []
    monkeypatch.setattr(made_with, 'file_of', asked.append)
    monkeypatch.setattr(made_with, 'is_main_process', lambda: False)
    assert hashes(['https://a/b.pth']) == {}
    assert asked == ['https://a/b.pth']
