"""SIGTERM to one process, made known to all."""

import os
import signal

import pytest
import torch

from mmkd_plugin.engine import async_max
from mmkd_plugin.resume import stop_request
from mmkd_plugin.resume.stop_request import StopRequest
from tests.helpers.waits import Recorder


@pytest.fixture
def request_(monkeypatch):
    request = StopRequest()
    request.listen()
    yield request
    request.release()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)


class Group:
    """Two processes, of which the other was asked to stop."""

    def __init__(self, monkeypatch):
        self.log = []
        self.answer = 0.0
        for module in (stop_request, async_max):
            monkeypatch.setattr(module, 'get_world_size', lambda: 2)
        monkeypatch.setattr(
            async_max, 'get_comm_device', lambda: torch.device('cpu')
        )
        monkeypatch.setattr(
            async_max.distributed, 'all_reduce', self.all_reduce
        )

    def all_reduce(self, tensor, op, async_op):
        assert op == torch.distributed.ReduceOp.MAX
        assert async_op
        self.log.append(f'ask {tensor.item():g}')
        self.tensor = tensor
        return self

    def wait(self):
        self.log.append('wait')
        self.tensor.fill_(max(self.tensor.item(), self.answer))


def test_signal_to_the_only_process(request_):
    assert not request_.ask()
    os.kill(os.getpid(), signal.SIGTERM)
    with Recorder() as seen:
        assert request_.ask()
    assert request_.is_known
    assert not seen.ops


def test_handling_is_given_back():
    before = signal.getsignal(signal.SIGTERM)
    request = StopRequest()
    request.listen()
    assert signal.getsignal(signal.SIGTERM) is not before
    request.release()
    assert signal.getsignal(signal.SIGTERM) is before
    request.release()


def test_answer_is_read_an_iteration_later(request_, monkeypatch):
    group = Group(monkeypatch)
    assert not request_.ask()
    assert group.log == ['ask 0']
    group.answer = 1.0
    assert request_.ask()
    assert request_.is_known
    # Who knows asks no more, in any process.
    assert request_.ask()
    assert group.log == ['ask 0', 'wait']


def test_own_request_waits_for_the_others(request_, monkeypatch):
    group = Group(monkeypatch)
    os.kill(os.getpid(), signal.SIGTERM)
    assert not request_.ask()
    assert request_.is_known
    assert request_.ask()
    assert group.log == ['ask 1', 'wait']


def test_last_answer_can_be_read_without_asking(request_, monkeypatch):
    group = Group(monkeypatch)
    assert not request_.read()
    request_.ask()
    group.answer = 1.0
    assert request_.read()
    assert request_.read()
    assert group.log == ['ask 0', 'wait']
