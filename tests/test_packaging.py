"""What an install, an editable install, a wheel and an sdist contain."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PARTS = (
    'mmkd_plugin',
    'configs',
    'tools',
    'requirements',
    'setup.py',
    'pyproject.toml',
    'MANIFEST.in',
    'LICENSE',
    'model-index.yml',
)
# mim looks for these under `.mim`.
WANTED = (
    'model-index.yml',
    'configs/frcnn_r101_r18_ckd.py',
    'configs/_base_/methods/ckd.py',
    'tools/train.py',
    'tools/dist_train.sh',
)


@pytest.fixture(scope='module')
def tree(tmp_path_factory):
    """A copy of the sources, to build in."""
    tree = tmp_path_factory.mktemp('packaging') / 'source'
    tree.mkdir()
    ignore = shutil.ignore_patterns('__pycache__', '.mim')
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, tree / part, ignore=ignore)
        else:
            shutil.copy(ROOT / part, tree)
    return tree


def build(tree, what):
    """Builds with the hooks that pip calls; returns the archive."""
    code = (
        'from setuptools import build_meta\n'
        f'print(build_meta.build_{what}({str(tree.parent)!r}))'
    )
    result = subprocess.run(
        [sys.executable, '-c', code], cwd=tree, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return tree.parent / result.stdout.splitlines()[-1]


def test_wheel_carries_what_mim_looks_for(tree):
    with zipfile.ZipFile(build(tree, 'wheel')) as wheel:
        names = wheel.namelist()
        for name in WANTED:
            text = wheel.read(f'mmkd_plugin/.mim/{name}')
            assert text == (ROOT / name).read_bytes()
        metadata = next(n for n in names if n.endswith('/METADATA'))
        lines = wheel.read(metadata).decode().splitlines()
    assert not [name for name in names if '__pycache__' in name]
    assert not [name for name in names if name.startswith('tests')]
    # Neither family's distributions: they would be installed side by side.
    needs = [line for line in lines if line.startswith('Requires-Dist')]
    assert [n for n in needs if 'extra' not in n] == [
        'Requires-Dist: torch>=2.1'
    ]


def test_sdist_carries_what_mim_looks_for_and_builds_a_wheel(tree, tmp_path):
    with tarfile.open(build(tree, 'sdist')) as sdist:
        sdist.extractall(tmp_path, filter='data')
    (unpacked,) = tmp_path.iterdir()
    for name in WANTED:
        text = (unpacked / 'mmkd_plugin' / '.mim' / name).read_bytes()
        assert text == (ROOT / name).read_bytes()
    with zipfile.ZipFile(build(unpacked, 'wheel')) as wheel:
        names = wheel.namelist()
    assert {f'mmkd_plugin/.mim/{name}' for name in WANTED} <= set(names)


def test_editable_install_links_to_the_sources(tree):
    build(tree, 'editable')
    mim = tree / 'mmkd_plugin' / '.mim'
    for name in ('configs', 'tools', 'model-index.yml'):
        assert (mim / name).is_symlink()
        assert (mim / name).resolve() == tree / name
    # Once more, where the links are there already.
    build(tree, 'editable')
    assert (mim / 'configs').is_symlink()


def test_version_is_the_one_of_the_package(tree):
    import mmkd_plugin

    name = f'mmkd_plugin-{mmkd_plugin.__version__}.tar.gz'
    assert build(tree, 'sdist').name == name
