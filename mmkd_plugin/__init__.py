"""Knowledge distillation for OpenMMLab by one entry in ``custom_hooks``.

Importing the package registers its losses, taps, hooks, backbones, data sets
and weight initialisers in MMEngine's root registries, where configs of
MMDetection and MMPretrain find them by name.  It needs torch and mmengine
alone.
"""

from .compat import check_versions

__version__ = '0.1.0'

check_versions('torch', 'mmengine')

from . import datasets, hooks, losses, models, taps  # noqa: E402, F401
from .atomic import install_atomic_saving  # noqa: E402
from .autocast import BFloat16OptimWrapper  # noqa: E402
from .datasets import InMemoryCIFAR100  # noqa: E402
from .exceptions import MMKDError  # noqa: E402
from .hooks import (  # noqa: E402
    ChannelsLastHook,
    CKDHook,
    DistillHook,
    ExactResumeHook,
    RLDHook,
)
from .losses import (  # noqa: E402
    CKDLoss,
    DISTLoss,
    DKDLoss,
    KDLoss,
    RLDLoss,
)
from .taps import ClsHeadTap, RoIHeadTap  # noqa: E402

install_atomic_saving()

__all__ = [
    'BFloat16OptimWrapper',
    'CKDHook',
    'CKDLoss',
    'ChannelsLastHook',
    'ClsHeadTap',
    'DISTLoss',
    'DKDLoss',
    'DistillHook',
    'ExactResumeHook',
    'InMemoryCIFAR100',
    'KDLoss',
    'MMKDError',
    'RLDHook',
    'RLDLoss',
    'RoIHeadTap',
    '__version__',
]
