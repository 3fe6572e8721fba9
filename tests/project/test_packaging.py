"""What an install, an editable install, a wheel and an sdist contain."""

import email
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from mmengine.fileio import load

import mmkd_plugin

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PARTS = (
    'README.md',
    'mmkd_plugin',
    'configs',
    'docs',
    'tools',
    'requirements',
    'setup.py',
    'pyproject.toml',
    'MANIFEST.in',
    'LICENSE',
    'model-index.yml',
)
# mim looks for these under `.mim`.
WANTED = {
    'model-index.yml': (ROOT / 'model-index.yml').read_bytes(),
    **{
        str(path.relative_to(ROOT)): path.read_bytes()
        for folder in ('configs', 'docs/datasets', 'docs/methods', 'tools')
        for path in (ROOT / folder).rglob('*')
        if path.is_file() and '__pycache__' not in path.parts
    },
}
DEMO = 'frcnn_r18w24_r18w8_ckd'


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


@pytest.fixture(scope='module')
def wheel(tree):
    return build(tree, 'wheel')


@pytest.fixture(scope='module')
def sdist(tree):
    return build(tree, 'sdist')


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


def in_mim(names):
    """What lies under `.mim`, relative to it."""
    start = 'mmkd_plugin/.mim/'
    return {
        name.removeprefix(start)
        for name in names
        if name.startswith(start) and not name.endswith('/')
    }


def test_wheel_carries_what_mim_looks_for(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        for name, content in WANTED.items():
            assert archive.read(f'mmkd_plugin/.mim/{name}') == content
        metadata = next(n for n in names if n.endswith('/METADATA'))
        lines = archive.read(metadata).decode().splitlines()
    assert in_mim(names) == WANTED.keys()
    assert not [name for name in names if '__pycache__' in name]
    assert not [name for name in names if name.startswith('tests')]
    # Neither family's distributions: they would be installed side by side.
    needs = [line for line in lines if line.startswith('Requires-Dist')]
    assert [n for n in needs if 'extra' not in n] == [
        'Requires-Dist: torch>=2.1'
    ]


def test_wheel_has_all_of_the_package(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {n for n in archive.namelist() if '.mim' not in n}
    assert {
        str(path.relative_to(ROOT))
        for path in (ROOT / 'mmkd_plugin').rglob('*.py')
        if '.mim' not in path.parts
    } == {name for name in names if name.endswith('.py')}


def test_wheel_has_what_the_index_names():
    index = load(ROOT / 'model-index.yml')
    assert {each['README'] for each in index['Collections']} <= {*WANTED}
    assert {model['Config'] for model in index['Models']} <= {*WANTED}


def test_sdist_carries_what_mim_looks_for_and_builds_a_wheel(sdist, tmp_path):
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter='data')
    (unpacked,) = tmp_path.iterdir()
    for name, content in WANTED.items():
        assert (unpacked / 'mmkd_plugin' / '.mim' / name).read_bytes() == (
            content
        )
    with zipfile.ZipFile(build(unpacked, 'wheel')) as archive:
        assert in_mim(archive.namelist()) == WANTED.keys()


def test_editable_install_links_to_the_sources(tree):
    build(tree, 'editable')
    mim = tree / 'mmkd_plugin' / '.mim'
    for name in ('configs', 'docs/methods', 'tools', 'model-index.yml'):
        assert (mim / name).is_symlink()
        assert (mim / name).resolve() == tree / name
    # Once more, where the links are there already.
    build(tree, 'editable')
    assert (mim / 'configs').is_symlink()


def test_version_is_the_one_of_the_package(sdist):
    assert sdist.name == f'mmkd_plugin-{mmkd_plugin.__version__}.tar.gz'


def test_the_package_index_gets_the_readme_and_the_pythons(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        name = next(n for n in names if n.endswith('/METADATA'))
        metadata = email.message_from_bytes(archive.read(name))
    assert metadata['Description-Content-Type'] == 'text/markdown'
    assert metadata.get_payload(decode=True).decode().strip() == (
        (ROOT / 'README.md').read_text().strip()
    )
    assert metadata['Requires-Python'] == '>=3.10,<3.13'
    assert metadata['License-File'] == 'LICENSE'


@pytest.fixture(scope='module')
def installed(wheel, tmp_path_factory):
    """Runs Python where the wheel is installed, apart from the sources."""
    site = tmp_path_factory.mktemp('site')
    options = ('--quiet', '--no-deps', '--no-index', '--target', str(site))
    subprocess.run(
        [sys.executable, '-m', 'pip', 'install', *options, str(wheel)],
        check=True,
    )

    def run(*args):
        return subprocess.run(
            [sys.executable, '-W', 'ignore', *args],
            cwd=site.parent,
            env=dict(os.environ, PYTHONPATH=str(site)),
            capture_output=True,
            text=True,
        )

    return run


@pytest.fixture(scope='module')
def with_mim(installed):
    try:
        importlib.metadata.version('openmim')
    except importlib.metadata.PackageNotFoundError:
        pytest.skip('openmim is not installed')
    return installed


def test_an_installed_wheel_is_imported(installed):
    code = 'import mmkd_plugin; print(mmkd_plugin.__file__)'
    result = installed('-c', code)
    assert result.returncode == 0, result.stderr
    assert Path(result.stdout.strip()).parents[1].name.startswith('site')


def test_mim_searches_the_models(with_mim):
    code = (
        'import json\n'
        'from mim.commands.search import get_model_info\n'
        "print(json.dumps(get_model_info('mmkd_plugin', to_dict=True)))\n"
    )
    result = with_mim('-c', code)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout.splitlines()[-1])
    models = load(ROOT / 'model-index.yml')['Models']
    assert found.keys() == {model['Name'] for model in models}
    for model in models:
        info = found[model['Name']]
        assert info['config'] == model['Config']
        assert info['model'] == model['In Collection'].lower()
        for result in model.get('Results', []):
            key = f'{result["Dataset"].lower()}/box_ap'
            assert info[key] == result['Metrics']['box AP']


def test_mim_starts_our_tools_with_our_configs(with_mim):
    """Our tool refuses the option before it loads anything."""
    options = ('--cfg-options', 'trian_cfg.max_epochs=1')
    command = ('train', 'mmkd_plugin', f'{DEMO}.py', *options)
    result = with_mim('-m', 'mim', *command)
    assert '/mmkd_plugin/.mim/tools/train.py' in result.stdout
    assert f'/mmkd_plugin/.mim/configs/demo/{DEMO}.py' in result.stderr
    assert 'did you mean train_cfg?' in result.stderr
