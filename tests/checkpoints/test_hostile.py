"""No file does anything but be read or refused, at the door and after it."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmkd_plugin.checkpoints.reading import read_checkpoint
from mmkd_plugin.checkpoints.unpickling import load_from_local
from mmkd_plugin.cli.errors import explain
from mmkd_plugin.exceptions import MMKDError
from tests.helpers.hostile.door import BASE
from tests.helpers.hostile.files import World, calls, write_all
from tests.helpers.hostile.judge import FAULTS, attempt, watched

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
# Files that commands refuse, and files that they go on with.
CHOSEN = ('posix-system', 'module', 'config', 'cfg')


def run_harness(*args):
    """Run a harness in a process of its own; return its last table row."""
    done = subprocess.run(
        [sys.executable, *args],
        cwd=ROOT,
        env={**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    *_, last = done.stdout.strip().splitlines()
    return [int(n) for n in re.findall(r'\d+', last)]


def test_files_do_nothing_at_the_door():
    files, *counts = run_harness(
        '-m', 'tests.helpers.hostile.door', '--every', '2'
    )
    assert files >= 150
    assert counts == [0] * len(FAULTS)


def test_files_do_nothing_through_the_commands():
    script = 'tests/stress/hostile_files.py'
    entries = ('teacher.checkpoint', 'load_from', 'resume', 'test.py',
               'publish', 'export')  # fmt: skip
    tried, *counts = run_harness(
        script, '--names', *CHOSEN, '--entries', *entries
    )
    assert tried == len(entries) * len(CHOSEN)
    assert counts == [0] * len(FAULTS)


def test_harness_sees_what_an_unsafe_reader_lets_happen(tmp_path):
    world = World(tmp_path, BASE)
    calls(world)
    kinds = {path.stem[4:]: path for _, path in world.found}

    def unsafe(path):
        torch.load(path, weights_only=False)

    faults, _ = attempt(watched(unsafe), kinds['posix-system'], world)
    assert {'code run', 'files written'} <= faults
    faults, _ = attempt(watched(unsafe), kinds['gc-disable'], world)
    assert 'process changed' in faults
    faults, _ = attempt(watched(unsafe), kinds['time-sleep'], world, 1)
    assert faults == {'hung'}
    faults, _ = attempt(
        watched(lambda path: bytearray(600 << 20)), world.found[0][1], world
    )
    assert faults == {'memory'}
    faults, _ = attempt(watched(lambda path: 1 / 0), world.found[0][1], world)
    assert faults == {'tracebacks'}


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    return write_all(tmp_path_factory.mktemp('hostile'), BASE)


def sentence_for(world, name, read=load_from_local):
    """What is said of a file, named as `kind/name`."""
    kind, _, name = name.rpartition('/')
    path, *more = (
        path
        for its, path in world.found
        if path.stem[4:] == name and kind in ('', its)
    )
    assert not more
    with pytest.raises(MMKDError) as caught:
        read(str(path))
    return explain(caught.value).replace(str(path), 'FILE')


def refused(reason):
    return (
        f'The checkpoint FILE was refused: {reason} Give another file, or '
        '--trust-checkpoint if you know where this one comes from.'
    )


def unread(reason):
    return (
        f'The checkpoint FILE could not be read ({reason}): it is damaged or '
        'no checkpoint; download or save it again.'
    )


@pytest.mark.parametrize(
    'name', ['module', 'constants', 'upper', 'torchscript/code']
)
def test_torchscript_is_refused(world, name):
    assert sentence_for(world, name) == (
        'The checkpoint FILE was refused: it is a TorchScript archive, which '
        'is a program and not weights. Give a file with the state dict.'
    )


@pytest.mark.parametrize(
    'name, reason',
    [
        ('other/tar', 'it is a tar archive'),
        ('other/text', 'it is a web page'),
        ('other/pickle', 'it is a pickle that torch did not write'),
        ('packed', "its record 'archive/data.pkl' is compressed, as torch "
         'never does'),
        ('zip/twice', "it holds 'archive/data.pkl' twice"),
        ('zip/overlap', 'its records overlap'),
        ('deep_lists', 'it is nested more than 100 deep'),
        ('cycle', 'it holds itself'),
        ('doubled_lists', 'it holds the same parts over and over'),
        ('empty_sets', 'it takes far more memory than its size'),
        ('repeated', 'its tensors declare far more numbers than the file '
         'has'),
        ('tensor/outside', 'a tensor is larger than its storage'),
        ('pointer', 'an array of NumPy points into the memory'),
        ('safetensors/cut', 'it is cut off'),
    ],
)  # fmt: skip
def test_limits_are_sentences(world, name, reason):
    assert sentence_for(world, name) == unread(reason)


@pytest.mark.parametrize(
    'name, reason',
    [
        ('0-_rebuild_tensor_v2', 'it changes method.'),
        ('codecs-decode', 'it holds codecs.decode, which is not among the '
         'classes known to be harmless.'),
        ('object-7-OrderedDict', 'it sets attributes of a dict.'),
    ],
)  # fmt: skip
def test_attacks_are_called_so(world, name, reason):
    assert sentence_for(world, name) == refused(reason)


def test_pipes_and_devices_are_not_opened(tmp_path):
    os.mkfifo(tmp_path / 'pipe')
    bound = socket.socket(socket.AF_UNIX)
    bound.bind(str(tmp_path / 's'))
    for path in (tmp_path / 'pipe', tmp_path / 's', '/dev/zero'):
        message = f"checkpoint '{path}' is a pipe, device or socket: give"
        with pytest.raises(FileNotFoundError, match=message):
            read_checkpoint(str(path))
    bound.close()
    (tmp_path / 'loop').symlink_to(tmp_path / 'loop')
    for path in ('a\0b', 'x' * 5000, str(tmp_path / 'loop')):
        with pytest.raises(FileNotFoundError, match='was not found'):
            read_checkpoint(path)


@pytest.mark.parametrize(
    'name', ['state_sparse', 'state_meta', 'state_nested', 'state_numbers']
)
def test_weights_are_plain_tensors_with_names(world, name):
    said = sentence_for(world, name, read_checkpoint)
    if name in ('state_sparse', 'state_meta'):
        assert 'holds a as a sparse or quantized tensor, or without' in said
    else:
        assert 'holds no state dict' in said


def test_meta_is_a_dict(world):
    said = sentence_for(world, 'meta_list', read_checkpoint)
    assert said.endswith(
        'holds a `meta` that is no dict but list: give one that MMEngine has '
        'written.'
    )
