"""Several processes, as they would train on several GPUs."""

import json

import pytest
from torch import multiprocessing

from tests.helpers import processes


@pytest.fixture(scope='module')
def results(tmp_path_factory):
    """What each process of a group found, by the size of the group."""
    # Forks of a clean process that has imported everything once.
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(['tests.helpers.processes'])
    cache = {}

    def run(size):
        if size not in cache:
            folder = tmp_path_factory.mktemp(f'group{size}')
            group = [
                context.Process(
                    target=processes.work, args=(rank, size, str(folder))
                )
                for rank in range(size)
            ]
            for process in group:
                process.start()
            for process in group:
                process.join(timeout=400)
                process.kill()
            cache[size] = [
                json.loads(path.read_text()) if path.is_file() else {}
                for path in (folder / f'{rank}.json' for rank in range(size))
            ]
        return cache[size]

    return run


@pytest.mark.parametrize(
    'size, name',
    [
        (size, check.__name__)
        for size, checks in processes.CHECKS.items()
        for check in checks
    ],
)
def test_in_processes(results, size, name):
    found = [result.get(name, 'not reached') for result in results(size)]
    assert found == ['passed'] * size, '\n'.join(found)
