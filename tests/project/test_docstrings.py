"""The examples in the docstrings of the package."""

import doctest
import importlib
import pkgutil

import pytest
from PIL import Image

import mmkd_plugin
from mmkd_plugin import losses

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(mmkd_plugin.__path__, 'mmkd_plugin.')
)


@pytest.fixture
def root(tmp_path):
    """A data set of two classes with four pictures each."""
    for name in ('ant', 'bee'):
        path = tmp_path / 'train' / f'{name}.png'
        path.parent.mkdir(exist_ok=True)
        Image.new('RGB', (64, 64)).save(path)
    return str(tmp_path)


@pytest.mark.parametrize('name', MODULES)
def test_examples_hold(name, root):
    module = importlib.import_module(name)
    assert doctest.testmod(module, extraglobs=dict(root=root)).failed == 0


@pytest.mark.parametrize(
    'name', [name for name in losses.__all__ if name.endswith('_loss')]
)
def test_every_loss_has_an_example(name):
    (found,) = doctest.DocTestFinder(recurse=False).find(getattr(losses, name))
    assert found.examples
