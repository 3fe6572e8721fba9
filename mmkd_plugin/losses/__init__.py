"""The losses: how far apart student and teacher are, a file per method.

Every module of this folder is imported, which registers its losses. The names
in its ``__all__`` can be imported from here.
"""

from importlib import import_module
from pkgutil import iter_modules

__all__: list[str] = []

for _found in iter_modules(__path__):
    _module = import_module(f'{__name__}.{_found.name}')
    __all__ += _module.__all__
    globals().update({n: getattr(_module, n) for n in _module.__all__})
