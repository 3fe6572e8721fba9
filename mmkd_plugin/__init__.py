"""Knowledge distillation for OpenMMLab by one entry in ``custom_hooks``.

Importing the package registers its losses, taps, hooks, backbones, data sets
and weight initialisers in MMEngine's root registries, where configs of
MMDetection and MMPretrain find them by name, and changes nothing else.  It
only needs torch and mmengine.
"""

from .compat import check_versions

__version__ = '0.1.0'

check_versions('torch', 'mmengine')

from . import datasets, hooks, losses, models, resume, taps  # noqa: E402, F401
from .distill import Distiller  # noqa: E402
from .exceptions import MMKDError  # noqa: E402
from .hooks import DistillHook  # noqa: E402
from .resume import ExactResumeHook  # noqa: E402

__all__ = [
    'DistillHook',
    'Distiller',
    'ExactResumeHook',
    'MMKDError',
    '__version__',
]
