"""Every command in tools/ ends with a sentence."""

import ast
import re

import pytest

from tests.helpers.commands import REPO, TOOLS, run_tool

# These work before the package does.
BEFORE = {'setup_env', 'check_install'}
# It asks for nothing.
ALONE = {'make_model_index'}
# Tool -> options that name what is not there.
NOWHERE = {
    'analyze_teacher': ['nowhere.py'],
    'compare': [
        *('nowhere.py', '--teacher', 'a.py', 'a.pth', '--methods', 'ckd')
    ],
    'convert_cifar_teachers': ['nowhere'],
    'export_onnx': ['nowhere.py', 'nowhere.pth'],
    'go_no_go': ['nowhere.py', '--student', 'nowhere.pth'],
    'inspect_config': ['nowhere.py'],
    'make_digits': ['--out', '/dev/null/x', '--splits', 'val'],
    'make_plant_scenes': ['nowhere', '--out', 'x'],
    'plot_run': ['nowhere', '--out', 'x.png'],
    'publish_student': ['nowhere.pth', 'out'],
    'quickstart': ['--data', '/dev/null/x'],
    'shrink_checkpoint': ['nowhere.pth', 'x.pth'],
    'sweep': ['nowhere.py'],
    'test': ['nowhere.py', 'nowhere.pth'],
    'train': ['nowhere.py'],
    'train_mask_tokens': ['nowhere.py', 'nowhere.pth', '--out', 'x.pth'],
    'visualize': ['nowhere.py', '--student', 'a', '--distilled', 'b'],
    'weigh_terms': ['nowhere.py'],
}


def commands():
    """The tools that have a `main`."""
    for path in sorted(TOOLS.rglob('*.py')):
        if path.parent.name == 'benchmark':
            continue  # for those who work on the package
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name == 'main':
                yield path.stem


def test_every_command_is_here():
    assert {*commands()} == {*NOWHERE, *BEFORE, *ALONE}


@pytest.mark.parametrize('name', NOWHERE)
def test_what_is_not_there(name, world):
    ended = run_tool(name, *NOWHERE[name])
    assert ended.code == 1
    assert ended.error, ended.output[-3000:]
    assert '\n' not in ended.error
    assert re.search('nowhere|/dev/null', ended.error), ended.error


def test_traceback_on_demand(world, monkeypatch):
    monkeypatch.setenv('MMKD_TRACEBACK', '1')
    ended = run_tool('shrink_checkpoint', *NOWHERE['shrink_checkpoint'])
    assert ended.code == 70
    assert 'Traceback' in ended.output


@pytest.mark.parametrize('name', sorted(BEFORE))
def test_what_works_before_says_error_too(name):
    text = (REPO / 'tools' / 'install' / f'{name}.py').read_text()
    assert "sys.exit(f'ERROR: {error}')" in text
