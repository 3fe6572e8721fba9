"""Knowledge distillation for OpenMMLab by one entry in ``custom_hooks``.

Importing the package registers its losses, taps, hooks and weight
initialisers in MMEngine's root registries, where configs of MMDetection and
MMPretrain find them by name.  It needs torch and mmengine alone.
"""

from .compat import check_versions, install_checkpoint_loader

__version__ = '0.1.0'

check_versions('torch', 'mmengine')
install_checkpoint_loader()

from . import hooks, losses, models, taps  # noqa: E402, F401
from .hooks import CKDHook, DistillHook, RLDHook  # noqa: E402
from .losses import CKDLoss, DKDLoss, KDLoss, RLDLoss  # noqa: E402
from .taps import LogitPair, RoIHeadTap  # noqa: E402

__all__ = [
    'CKDHook',
    'CKDLoss',
    'DKDLoss',
    'DistillHook',
    'KDLoss',
    'LogitPair',
    'RLDHook',
    'RLDLoss',
    'RoIHeadTap',
    '__version__',
]
