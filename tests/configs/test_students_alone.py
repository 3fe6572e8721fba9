"""Students alone are configs of MMDetection and MMPretrain, and of no more."""

import functools
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.det_configs import CONFIGS, load

pytestmark = pytest.mark.slow

ALL = [p for p in sorted(CONFIGS.rglob('*.py')) if '_base_' not in p.parts]
# A network of this package, or weights that it reads.
NEED_PLUGIN = {'frcnn_mv2', 'frcnn_mv2_ms', 'mask_rcnn_mv2_ms', 'mobilenetv1'}
# As the training tools of these libraries do, up to the data.
BUILD = """
import functools
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] == 'mmkd_plugin':
            raise ImportError('blocked: ' + name)
sys.meta_path.insert(0, Block())
from mmengine.config import Config, utils
from mmengine.runner import Runner
# The lists of models of a package, in which each `mmdet::` name is looked for.
utils.load = functools.cache(utils.load)
for number, path in enumerate(sys.argv[1:]):
    cfg = Config.fromfile(path)
    cfg.work_dir = f'work/{number}'
    Runner.from_cfg(cfg)
    print('built', path)
"""


@functools.cache
def students_alone():
    """The configs that need nothing of this package."""
    return [
        path
        for path in ALL
        if path.parent.name != 'cifar100'
        and path.stem not in NEED_PLUGIN
        and not any('teacher' in hook for hook in hooks_of(path))
    ]


def hooks_of(path):
    return load(path).get('custom_hooks', [])


def test_configs_that_need_this_package_say_so():
    """Those that distil, and the students that are listed here."""
    for path in ALL:
        imports = load(path).get('custom_imports', {}).get('imports', [])
        alone = path in students_alone()
        assert imports == ([] if alone else ['mmkd_plugin']), path


def test_the_others_are_built_without_it(tmp_path):
    paths = students_alone()
    assert len(paths) > 20
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', BUILD, *map(str, paths)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    built = [
        Path(line.removeprefix('built '))
        for line in done.stdout.splitlines()
        if line.startswith('built ')
    ]
    assert built == paths
