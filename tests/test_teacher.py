"""Building and loading a teacher."""

import shutil
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmkd_plugin import teacher as T
from tests import tiny


@pytest.fixture
def saved(tmp_path):
    return tiny.save_teacher(tmp_path / 't.pth')


def test_built_as_saved_frozen_and_in_eval(saved):
    model = T.build_teacher(**saved)
    state = torch.load(saved['checkpoint'])['state_dict']
    for key, value in model.state_dict().items():
        assert torch.equal(value, state[key])
    assert not any(p.requires_grad for p in model.parameters())
    assert not any(m.training for m in model.modules())


def test_config_as_dict_path_and_name(saved, tmp_path):
    path = tmp_path / 'teacher.py'
    Config(saved['config']).dump(path)
    by_dict = T.load_config(saved['config'])
    by_path = T.load_config(str(path))
    assert by_dict.model == by_path.model
    name = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'
    assert T.load_config(name).model.backbone.depth == 50


@pytest.mark.parametrize(
    'config, error, message',
    [
        ('no/such.py', FileNotFoundError, 'no/such.py'),
        ('mmdet::no/such.py', FileNotFoundError, 'mmdet/.mim/configs/no'),
        ('nowhere::x.py', FileNotFoundError, "'nowhere'"),
        (dict(lr=1), ValueError, r"keys \['lr'\]"),
        (3, TypeError, 'but got int'),
    ],
)
def test_wrong_config(config, error, message):
    with pytest.raises(error, match=message):
        T.load_config(config)


def save(path, **changes):
    state = tiny.build_detector().state_dict()
    for key, value in changes.items():
        key = key.replace('__', '.')
        if value is None:
            del state[key]
        else:
            state[key] = value
    torch.save(state, path)
    return str(path)


@pytest.mark.parametrize(
    'changes, message',
    [
        (dict(backbone__conv1__weight=None), '1 missing .backbone.conv1'),
        (dict(extra=torch.zeros(1)), r'1 unexpected \(extra\)'),
        (
            dict(roi_head__bbox_head__fc_cls__bias=torch.zeros(81)),
            r'fc_cls.bias \(81,\) instead of \(4,\)',
        ),
    ],
)
def test_half_loaded_teacher_is_refused(tmp_path, saved, changes, message):
    path = save(tmp_path / 'bad.pth', **changes)
    with pytest.raises(ValueError, match=message):
        T.build_teacher(saved['config'], path)


def test_names_of_a_wrapped_model_are_unwrapped(tmp_path, saved):
    state = tiny.build_detector(7).state_dict()
    path = tmp_path / 'ddp.pth'
    torch.save({f'module.{key}': state[key] for key in state}, path)
    model = T.build_teacher(saved['config'], str(path))
    assert torch.equal(
        model.backbone.conv1.weight, state['backbone.conv1.weight']
    )


def test_missing_and_damaged_files(tmp_path, saved):
    with pytest.raises(FileNotFoundError, match='no.pth'):
        T.load_checkpoint(str(tmp_path / 'no.pth'))
    text = tmp_path / 'text.pth'
    text.write_text('hello')
    with pytest.raises(ValueError, match='could not be read as weights'):
        T.load_checkpoint(str(text))
    whole = Path(saved['checkpoint']).read_bytes()
    cut = tmp_path / 'cut.pth'
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match='could not be read as weights'):
        T.load_checkpoint(str(cut))
    other = tmp_path / 'other.pth'
    torch.save(dict(state_dict=dict(a=1)), other)
    with pytest.raises(ValueError, match='holds no state dict'):
        T.load_checkpoint(str(other))


def test_url_that_cannot_be_reached(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))

    def download(*args):
        raise OSError('no route')

    monkeypatch.setattr(torch.hub, 'download_url_to_file', download)
    with pytest.raises(FileNotFoundError, match='no route.*put the file at'):
        T.load_checkpoint('https://example.com/teacher.pth')


def test_url_is_downloaded_once(tmp_path, monkeypatch, saved):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    calls = []

    def download(url, path):
        calls.append(url)
        shutil.copy(saved['checkpoint'], path)

    monkeypatch.setattr(torch.hub, 'download_url_to_file', download)
    for _ in range(2):
        assert T.load_checkpoint('https://example.com/teacher.pth')
    assert calls == ['https://example.com/teacher.pth']
