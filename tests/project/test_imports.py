"""Who may import whom."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / 'mmkd_plugin'
# Part of the package -> what it may import beside the standard library and
# its own folder.
ALLOWED = {
    'losses': {'torch', 'mmengine.registry', 'mmkd_plugin.checkpoints'},
    'taps': {'torch', 'mmengine.registry', 'scipy.optimize'},
    'models': {
        'torch',
        'mmengine',
        'mmcv',
        'mmdet',
        'mmpretrain',
        'torchvision',
    },
    'datasets': {
        'torch',
        'numpy',
        'PIL',
        'mmcv',
        'mmengine',
        'mmpretrain',
    },
    'checkpoints': {'torch', 'numpy', 'mmengine'},
    'engine': {'torch', 'mmengine', 'mmkd_plugin.checkpoints'},
    'teachers': {
        'torch',
        'numpy',
        'mmcv',
        'mmengine',
        'mmkd_plugin.checkpoints',
        'mmkd_plugin.datasets.class_names',
        'mmkd_plugin.datasets.replayable',
        'mmkd_plugin.model_config',
        'mmkd_plugin.summary',
    },
    'distill': {'torch', 'mmengine', 'mmkd_plugin.teachers'},
    'resume': {
        'torch',
        'numpy',
        'mmengine',
        'mmkd_plugin.checkpoints',
        'mmkd_plugin.engine',
    },
    'hooks': {
        'torch',
        'mmengine',
        'mmkd_plugin.checkpoints.first_weights',
        'mmkd_plugin.checkpoints.made_with',
        'mmkd_plugin.compat',
        'mmkd_plugin.datasets.check',
        'mmkd_plugin.datasets.class_names',
        'mmkd_plugin.datasets.labels',
        'mmkd_plugin.distill',
        'mmkd_plugin.engine',
        'mmkd_plugin.summary',
        'mmkd_plugin.teachers',
    },
    'cli': {
        'torch',
        'rich',
        'mmengine',
        'mmkd_plugin.model_config',
        'mmkd_plugin.summary',
    },
    'reports': {'numpy', 'matplotlib', 'pycocotools'},
    # What all may use.
    'arguments.py': {'numpy'},
    'exceptions.py': set(),
    'compat.py': {'mmengine'},
    'model_config.py': {'torch', 'mmengine'},
    'summary.py': {'torch'},
}
FILES = sorted(
    path for path in PACKAGE.rglob('*.py') if '.mim' not in path.parts
)


def imported(path):
    """Full names of the modules that a file imports, at any depth."""
    package = ('mmkd_plugin', *path.relative_to(PACKAGE).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1]
            yield '.'.join(
                (*(base if node.level else ()), *filter(None, [node.module]))
            )


def is_allowed(name, part):
    own = f'mmkd_plugin.{part.removesuffix(".py")}'
    if name == own or name.startswith(f'{own}.'):
        return True
    if name.split('.')[0] in sys.stdlib_module_names:
        return True
    if name in ('mmkd_plugin.exceptions', 'mmkd_plugin.arguments'):
        return True
    return any(
        name == rule or name.startswith(f'{rule}.') for rule in ALLOWED[part]
    )


@pytest.mark.parametrize(
    'path',
    [path for path in FILES if path != PACKAGE / '__init__.py'],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_imports_follow_the_design(path):
    part = path.relative_to(PACKAGE).parts[0]
    assert part in ALLOWED, f'{part} has no rule'
    wrong = [name for name in imported(path) if not is_allowed(name, part)]
    assert not wrong


def imports_of_tests(text):
    """Modules named test_* that a text imports, or imports from."""
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, (ast.Import, ast.ImportFrom)):
            continue
        names = [alias.name for alias in node.names]
        names += [getattr(node, 'module', None) or '']
        parts = '.'.join(names).split('.')
        yield from (part for part in parts if part.startswith('test_'))


def test_nothing_is_imported_out_of_a_test():
    """What several tests need is in tests/helpers/."""
    found = {
        str(path.relative_to(ROOT)): names
        for path in (ROOT / 'tests').rglob('*.py')
        if (names := [*imports_of_tests(path.read_text())])
    }
    assert not found


def test_imports_of_tests_are_seen():
    for text in (
        'from tests.losses.test_kd import oracle',
        'import tests.losses.test_kd as kd',
        'from tests.losses import test_kd',
        'from . import test_kd',
    ):
        assert [*imports_of_tests(text)]
    assert not [*imports_of_tests('from tests.helpers import tiny')]


def test_rules_can_fail():
    assert not is_allowed('mmdet.models', 'hooks')
    assert not is_allowed('mmkd_plugin.losses', 'hooks')
    assert not is_allowed('mmkd_plugin.hooks', 'losses')
    assert is_allowed('mmengine.registry', 'losses')
    assert not is_allowed('mmengine', 'losses')


def test_no_room_imports_itself_through_others():
    rooms = {
        room: {
            rule.split('.')[1]
            for rule in rules
            if rule.startswith('mmkd_plugin.')
        }
        & {*ALLOWED}
        for room, rules in ALLOWED.items()
    }
    while rooms:
        lowest = {room for room, below in rooms.items() if not below}
        assert lowest, f'a circle among {sorted(rooms)}'
        rooms = {
            room: below - lowest
            for room, below in rooms.items()
            if room not in lowest
        }


@pytest.mark.slow
def test_package_needs_torch_and_mmengine_alone():
    code = (
        'import sys\n'
        'class Block:\n'
        '    def find_spec(self, name, path=None, target=None):\n'
        "        if name.split('.')[0] in ('mmcv', 'mmdet', 'mmpretrain',\n"
        "                                  'torchvision', 'pycocotools'):\n"
        "            raise ImportError('blocked: ' + name)\n"
        'sys.meta_path.insert(0, Block())\n'
        'import mmkd_plugin\n'
        'loss = mmkd_plugin.losses.CKDLoss(tau=1.0, loss_weight=1.0)\n'
        "print('imported')\n"
    )
    run = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, cwd=ROOT
    )
    assert run.stdout.strip().endswith('imported'), run.stderr
