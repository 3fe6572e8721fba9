"""The way out for a file that is refused: `--trust-checkpoint`."""

import os

import pytest
import shrink_checkpoint
import torch
import train

from tests.helpers import tiny_cls
from tests.helpers.tool_runs import run, write_config


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.fixture
def evil(tmp_path):
    state = tiny_cls.build_classifier().state_dict()
    meta = dict(x=Touch(tmp_path / 'ran'), config='import antigravity')
    torch.save(dict(state_dict=state, meta=meta), tmp_path / 'evil.pth')
    return tmp_path / 'evil.pth'


def test_training_from_it(evil, tmp_path, monkeypatch, capsys):
    config = write_config(tmp_path, [], True)
    option = ('--cfg-options', f'load_from={evil}', 'train_cfg.max_epochs=1')
    said, _ = run(monkeypatch, capsys, train, config, *option)
    assert said == (
        f'error: The checkpoint {evil} was refused: it holds posix.mkdir, '
        'which is not among the classes known to be harmless. Give another '
        'file, or --trust-checkpoint if you know where this one comes from.'
    )
    assert not (tmp_path / 'ran').exists()
    with pytest.warns(UserWarning, match='any code that it holds is run'):
        code, _ = run(
            monkeypatch, capsys, train, config, '--trust-checkpoint', *option
        )
    assert code == 0
    assert (tmp_path / 'ran').is_dir()


def test_shrinking_it(evil, tmp_path, monkeypatch):
    argv = ['x', str(evil), str(tmp_path / 'small.pth')]
    monkeypatch.setattr('sys.argv', argv)
    with pytest.raises(SystemExit, match='it holds posix.mkdir'):
        shrink_checkpoint.main()
    assert not (tmp_path / 'small.pth').exists()
    monkeypatch.setattr('sys.argv', [*argv, '--trust-checkpoint'])
    with pytest.warns(UserWarning, match='is run'):
        shrink_checkpoint.main()
    small = torch.load(tmp_path / 'small.pth', weights_only=True)
    assert small['meta'] == dict(dataset_meta=dict(classes=None))
