"""Handlers that no other process inherits, and processes that end."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from torch.utils.data import DataLoader

from mmkd_plugin.resume.loading import shielded_workers
from mmkd_plugin.resume.stop_request import StopRequest

pytestmark = pytest.mark.slow


def handler_of(_=None):
    """What SIGTERM does in this process: to be called in another."""
    handler = signal.getsignal(signal.SIGTERM)
    if handler is signal.SIG_DFL:
        return 'default'
    return handler.__qualname__


def sleep(seconds=600):
    time.sleep(seconds)


@pytest.fixture
def listening():
    before = signal.getsignal(signal.SIGTERM)
    request = StopRequest()
    request.listen()
    assert 'take_over' in handler_of()
    yield request
    request.release()
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize('kind', ['fork', 'spawn'])
def test_pools_end(listening, kind):
    pool = multiprocessing.get_context(kind).Pool(1)
    assert set(pool.map(handler_of, range(4))) == {'default'}
    begun = time.monotonic()
    pool.terminate()
    pool.join()
    assert time.monotonic() - begun < 5
    assert not listening.is_known


@pytest.mark.parametrize('kind', ['fork', 'spawn', 'forkserver'])
def test_process_dies_of_sigterm(listening, kind):
    for _ in range(50 if kind == 'fork' else 1):
        process = multiprocessing.get_context(kind).Process(target=sleep)
        process.start()
        process.terminate()
        process.join(20)
        assert process.exitcode == -signal.SIGTERM
    assert not listening.is_known


def test_bare_forks_and_programs(listening):
    pid = os.fork()
    if pid == 0:
        os._exit(0 if handler_of() == 'default' else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    program = subprocess.Popen([sys.executable, '-c', 'input()'])
    program.terminate()
    assert program.wait(20) == -signal.SIGTERM
    assert not listening.is_known


def test_handler_that_reaches_another_process_steps_back(listening):
    """In a fork made by C code."""
    handler = signal.getsignal(signal.SIGTERM)
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGTERM, handler)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    assert os.waitstatus_to_exitcode(status) == -signal.SIGTERM


def test_what_a_user_handled_is_handled_in_forks():
    before = signal.signal(signal.SIGTERM, handler_of)
    try:
        request = StopRequest()
        request.listen()
        pid = os.fork()
        if pid == 0:
            os._exit(0 if handler_of() == 'handler_of' else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert 'take_over' in handler_of()
        # Whoever takes it over during the run keeps it.
        signal.signal(signal.SIGTERM, sleep)
        request.release()
        assert signal.getsignal(signal.SIGTERM) is sleep
    finally:
        signal.signal(signal.SIGTERM, before)


class Handlers:
    """Samples that say what SIGTERM does in a worker and in its fork."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        pid = os.fork()
        if pid == 0:
            os._exit(0 if handler_of() == 'default' else 1)
        clean = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        return torch.tensor([clean, 'take_over' in handler_of(), os.getpid()])


@pytest.mark.parametrize('persistent', [False, True])
def test_children_of_loading_workers_inherit_nothing(listening, persistent):
    loader = DataLoader(
        Handlers(), num_workers=2, persistent_workers=persistent
    )
    with shielded_workers(loader):
        found = torch.cat(list(loader))
    assert found[:, :2].all()
    if persistent:
        loader._iterator._shutdown_workers()
    end = time.monotonic() + 20
    while any(os.path.exists(f'/proc/{pid}') for pid in found[:, 2].tolist()):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_pool_that_is_left_to_the_garbage_collector(listening):
    """As MMDetection's evaluation of VOC leaves its own."""
    for _ in range(5):
        pool = multiprocessing.get_context('fork').Pool(2)
        pool.map(handler_of, range(4))
        pool.close()
        begun = time.monotonic()
        del pool
        assert time.monotonic() - begun < 5
