"""Versions of the packages that the plugin works with.

Versions are checked by import name, because two families of distributions
(OpenMMLab's own and the maintained ``onedl-*``) provide the same imports.
"""

import importlib

from mmengine.utils import digit_version

from .exceptions import MMKDImportError

# Import name -> oldest tested version, and the first version that is known not
# to work.
SUPPORTED = dict(
    torch=('2.1', None),
    mmengine=('0.10.0', None),
    mmcv=('2.1.0', None),
    mmdet=('3.3.0', '4.0.0'),
    mmpretrain=('1.2.0', '2.0.0'),
)


def check_versions(*names: str) -> None:
    """Raise unless the versions of packages are supported.

    Args:
        names: Import names from :data:`SUPPORTED`.

    Raises:
        ImportError: If a package cannot be imported or its version is out
            of range.
    """
    for name in names:
        low, high = SUPPORTED[name]
        wanted = f'>={low}' + (f',<{high}' if high else '')
        try:
            found = importlib.import_module(name).__version__
        except ImportError as error:
            raise MMKDImportError(
                f'mmkd_plugin needs {name}{wanted}, but importing it failed '
                f'({error}): install it as the README says.'
            ) from error
        version = digit_version(found.split('+')[0])
        if version < digit_version(low) or (
            high and version >= digit_version(high)
        ):
            raise MMKDImportError(
                f'mmkd_plugin needs {name}{wanted} but got {name} {found}: '
                f'install a version in that range.'
            )
