"""What a checkpoint of a training says of how it was made."""

import sys
from collections.abc import Iterable, Mapping

from mmengine.dist import get_world_size, is_main_process

from .download import sha256_of
from .zoo import file_of

# In the `meta` of a checkpoint.
NAME = 'made_with'
PACKAGES = (
    'torch',
    'mmengine',
    'mmcv',
    'mmdet',
    'mmpretrain',
    'mmkd_plugin',
)


def note_origin(
    checkpoint: dict, files: Mapping[str, str] | None = None
) -> None:
    """Write into ``meta`` what the process that saves it knows.

    Args:
        checkpoint: What MMEngine is about to save; changed in place.
        files: SHA-256 of the weights that the training reads, by the name
            that the config has for them.
    """
    made = checkpoint.setdefault('meta', {}).setdefault(NAME, {})
    made['versions'] = versions()
    made['ranks'] = get_world_size()
    made.setdefault('files', {}).update(files or {})


def versions() -> dict[str, str]:
    """Versions of those of :data:`PACKAGES` that this process uses."""
    return {
        name: str(sys.modules[name].__version__)
        for name in PACKAGES
        if hasattr(sys.modules.get(name), '__version__')
    }


def hashes(names: Iterable[str]) -> dict[str, str]:
    """SHA-256 of files of weights; all ranks must ask.

    Args:
        names: Paths, URLs or names of a zoo, of files that are there.

    Returns:
        By name; empty on all ranks but the main one, which saves.
    """
    paths = {str(name): file_of(name) for name in names}
    if not is_main_process():
        return {}
    return {name: sha256_of(path) for name, path in paths.items()}
