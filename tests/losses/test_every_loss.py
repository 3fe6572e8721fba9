"""Every loss has a test of its own, which asks for the shared checks."""

from importlib import import_module
from pkgutil import iter_modules

import pytest
from torch import nn

from mmkd_plugin import losses
from tests.helpers.shared_checks import SharedChecks

MODULES = [m.name for m in iter_modules(losses.__path__) if not m.ispkg]


@pytest.mark.parametrize('name', MODULES)
def test_shared_checks_are_run(name):
    module = import_module(f'mmkd_plugin.losses.{name}')
    public = [getattr(module, name) for name in module.__all__]
    registered = {
        found
        for found in public
        if isinstance(found, type) and issubclass(found, nn.Module)
    }
    assert registered
    test = import_module(f'tests.losses.test_{name}')
    checked = {
        found.loss.module
        for key, found in vars(test).items()
        if key.startswith('Test') and issubclass(found, SharedChecks)
    }
    assert checked == registered


def test_losses_are_found():
    assert {'kd', 'dkd', 'rld', 'ckd', 'dist'} <= set(MODULES)
