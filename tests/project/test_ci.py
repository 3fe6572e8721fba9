"""The workflow and the image do what `.ci/run` and `make setup` do."""

import re
from pathlib import Path

import yaml
from pairs import TRIED
from setup_env import STACKS

ROOT = Path(__file__).parents[2]
WORKFLOW = yaml.safe_load((ROOT / '.github/workflows/ci.yml').read_text())
DOCKERFILE = (ROOT / 'Dockerfile').read_text()


def test_the_workflow_runs_the_commands_of_ci_on_both_stacks():
    (job,) = WORKFLOW['jobs'].values()
    ours = re.findall('^make .*', (ROOT / '.ci/run').read_text(), re.MULTILINE)
    assert [s['run'] for s in job['steps'] if 'run' in s] == ours
    assert job['strategy']['matrix']['stack'] == list(STACKS)
    # What make reads where it is given no argument.
    assert job['env']['STACK'] == '${{ matrix.stack }}'
    (python,) = (
        step['with']['python-version']
        for step in job['steps']
        if 'setup-python' in step.get('uses', '')
    )
    assert python == '.'.join(map(str, TRIED.python))


def test_the_cached_environment_is_a_new_one_when_its_pins_change():
    (job,) = WORKFLOW['jobs'].values()
    (cache,) = (
        step['with']
        for step in job['steps']
        if 'actions/cache' in step.get('uses', '')
    )
    for name in ('matrix.stack', 'requirements/*.txt', 'setup.py'):
        assert name in cache['key']


def test_the_image_has_both_stages_and_the_cuda_of_torch():
    stages = re.findall(r'^FROM (\S+) AS (\w+)$', DOCKERFILE, re.MULTILINE)
    assert [name for _, name in stages] == ['cpu', 'cuda']
    assert f'cuda:{TRIED.cuda}.' in stages[1][0]
    assert DOCKERFILE.count('make setup\n') == 2


def test_an_image_gets_nothing_that_git_ignores():
    ignored = {
        line.strip('/')
        for line in (ROOT / '.gitignore').read_text().splitlines()
    }
    left_out = {
        line.removeprefix('**/')
        for line in (ROOT / '.dockerignore').read_text().splitlines()
    }
    caches = {name for name in ignored if name.endswith('_cache')}
    assert ignored - caches <= left_out
