import sys

import pytest

# Before they are imported, so that their asserts tell what they compared.
pytest.register_assert_rewrite('tests.helpers')

from tests.helpers.group import group  # noqa: E402, F401
from tests.helpers.quick import leave_out_what_takes_long  # noqa: E402

# What a test without the mark `slow` must not do, by Python's audit events.
STARTS = {'subprocess.Popen', 'os.fork', 'os.posix_spawn', 'os.system'}
started = []


def note_start(event, args):
    if event in STARTS:
        started.append(args)


sys.addaudithook(note_start)


def pytest_runtest_setup(item):
    started.clear()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    result = yield
    if started and not item.get_closest_marker('slow'):
        pytest.fail(f'It starts a process, so mark it `slow`: {started[0]}')
    return result


@pytest.fixture(autouse=True, scope='session')
def quick_runner():
    with pytest.MonkeyPatch.context() as patch:
        leave_out_what_takes_long(patch)
        yield
