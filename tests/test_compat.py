"""Versions of the packages around the plugin."""

import pytest

import mmkd_plugin
from mmkd_plugin import compat


@pytest.mark.parametrize('version', ['0.9.1', None])
def test_unfit_version_is_named(monkeypatch, version):
    if version is None:
        monkeypatch.setitem(compat.SUPPORTED, 'no_such_package', ('1.0', None))
        with pytest.raises(ImportError, match='needs no_such_package>=1.0'):
            compat.check_versions('no_such_package')
        return
    monkeypatch.setattr('mmengine.__version__', version)
    with pytest.raises(ImportError, match=r'>=0.10.0 but got mmengine 0.9.1'):
        compat.check_versions('mmengine')


def test_public_names_exist():
    for name in mmkd_plugin.__all__:
        assert hasattr(mmkd_plugin, name)
