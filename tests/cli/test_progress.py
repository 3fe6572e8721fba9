"""Progress is shown on a terminal, and nowhere else."""

import io
import sys

import pytest

from mmkd_plugin.cli.progress import track, working


class Stream(io.StringIO):
    """A stream that may be a terminal."""

    def __init__(self, terminal):
        super().__init__()
        self.terminal = terminal

    def isatty(self):
        return self.terminal


@pytest.fixture(params=[True, False], ids=['terminal', 'file'])
def stderr(request, monkeypatch):
    """A function that puts a stream in place of stderr, and returns it."""
    monkeypatch.setenv('TERM', 'xterm')
    # Some programs that collect logs set it.
    monkeypatch.setenv('FORCE_COLOR', '1')

    def put():
        # pytest puts its own there between a fixture and its test.
        monkeypatch.setattr(sys, 'stderr', Stream(request.param))
        return sys.stderr

    return put


@pytest.mark.parametrize(
    'make, total', [(list, None), (iter, 3), (iter, None)]
)
def test_track(stderr, capsys, make, total):
    stream, seen = stderr(), []
    for thing in track(make('abc'), 'reading', total):
        print(thing)
        seen.append(thing)
    assert seen == ['a', 'b', 'c']
    assert ('reading' in stream.getvalue()) == stream.terminal
    assert stream.terminal or not stream.getvalue()
    assert capsys.readouterr().out == 'a\nb\nc\n'


def test_working(stderr, capsys):
    stream = stderr()
    with working('exporting'):
        print('mine')
    assert ('exporting' in stream.getvalue()) == stream.terminal
    assert stream.terminal or not stream.getvalue()
    assert capsys.readouterr().out == 'mine\n'


def test_errors_come_through(stderr):
    stderr()
    with pytest.raises(KeyError), working('exporting'):
        raise KeyError
    with pytest.raises(KeyError):
        for _ in track([1], 'reading'):
            raise KeyError
