"""A group of gloo processes on this machine, which stands by for checks.

Starting one costs seconds, so each size is started once in a session.
"""

import os
import traceback
from datetime import timedelta
from multiprocessing.connection import wait

import pytest
import torch
from torch import distributed as dist
from torch import multiprocessing
from torch.nn.parallel import DistributedDataParallel

# A process whose neighbour has failed waits for it in vain.
ALL_SECONDS, LAST_SECONDS = 400, 5


def work(rank, size, folder, pipe):
    """Body of one process: run the checks that come through the pipe."""
    torch.set_num_threads(1)
    os.environ.update(
        LOCAL_RANK=str(rank),
        TORCH_HOME=f'{folder}/home',
        no_proxy='127.0.0.1',
    )
    dist.init_process_group(
        'gloo',
        init_method=f'file://{folder}/store',
        rank=rank,
        world_size=size,
        timeout=timedelta(seconds=120),
    )
    environment = dict(os.environ)
    for check, args in iter(pipe.recv, None):
        try:
            check(*args)
        except Exception:
            pipe.send(traceback.format_exc())
        else:
            pipe.send('passed')
        os.environ.clear()
        os.environ.update(environment)
    dist.destroy_process_group()


class Group:
    """Processes that have each other's addresses."""

    def __init__(self, size, folder):
        # Forks of a clean process that has imported everything once.
        context = multiprocessing.get_context('forkserver')
        context.set_forkserver_preload(['tests.helpers.detector_runs'])
        self.pipes, self.processes = [], []
        for rank in range(size):
            pipe, theirs = context.Pipe()
            process = context.Process(
                target=work, args=(rank, size, str(folder), theirs)
            )
            process.start()
            theirs.close()
            self.pipes.append(pipe)
            self.processes.append(process)

    def run(self, check, *args):
        """Have every process call a function of a module.

        Raises:
            AssertionError: Not all of them came through.
        """
        for pipe in self.pipes:
            pipe.send((check, args))
        found = ['no answer'] * len(self.pipes)
        left, seconds = set(self.pipes), ALL_SECONDS
        while left and (ready := wait(left, seconds)):
            for pipe in ready:
                left.remove(pipe)
                try:
                    answer = pipe.recv()
                except EOFError:
                    answer = 'the process has ended'
                found[self.pipes.index(pipe)] = answer
                if answer != 'passed':
                    seconds = LAST_SECONDS
        if set(found) != {'passed'}:
            self.kill()
            raise AssertionError('\n'.join(found))

    def usable(self):
        return all(process.is_alive() for process in self.processes)

    def end(self):
        for pipe in self.pipes:
            pipe.send(None)
        for process in self.processes:
            process.join(timeout=20)
        self.kill()

    def kill(self):
        for process in self.processes:
            process.kill()
            process.join()


@pytest.fixture(scope='session')
def group(tmp_path_factory):
    """Gives the group of a size."""
    groups = {}

    def of_size(size):
        if size not in groups or not groups[size].usable():
            folder = tmp_path_factory.mktemp(f'group{size}')
            groups[size] = Group(size, folder)
        return groups[size]

    yield of_size
    for started in groups.values():
        if started.usable():
            started.end()


def everywhere(value):
    """What each process has, in the order of the ranks."""
    values = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def flat(tensors):
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


def gradients(model):
    return flat(p.grad for p in model.parameters())


def train_layer(loss, inputs, teacher, labels, weights, wrap):
    """Value of a loss and gradients of the layer that it trains."""
    torch.manual_seed(0)
    layer = torch.nn.Linear(6, 7)
    module = DistributedDataParallel(layer) if wrap else layer
    value = loss(module(inputs), teacher, labels, weights)
    value.backward()
    return value.detach(), gradients(layer)
