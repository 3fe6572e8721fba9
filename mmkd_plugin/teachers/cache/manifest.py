"""What cached logits depend on, and whether it is still the same."""

import importlib.util
import json
from pathlib import Path
from typing import Any

from ...arguments import few, shown
from ...exceptions import MMKDValueError
from ..inputs import read_preprocessing
from .store import MANIFEST

# To be raised when files of the version before cannot be read any more.
FORMAT = 1
PACKAGES = ('torch', 'mmpretrain')


def preprocessing(preprocessor: Any) -> list:
    """How a data preprocessor turns pixels into the input of a model."""
    mean, std, *others = read_preprocessing(preprocessor)
    return [mean.flatten().tolist(), std.flatten().tolist(), *others]


def versions() -> dict[str, str]:
    """Versions of the packages that compute the logits."""
    return {
        name: importlib.import_module(name).__version__
        for name in PACKAGES
        if importlib.util.find_spec(name)
    }


def to_text(manifest: dict[str, Any]) -> str:
    """The text of a manifest's file."""
    return json.dumps({'format': FORMAT, **manifest}, indent=2) + '\n'


def check(folder: Path, manifest: dict[str, Any]) -> None:
    """Raise unless the logits of a folder are those that are needed.

    Args:
        folder: The folder.
        manifest: What the logits of this training depend on.

    Raises:
        ValueError: If the folder's manifest differs or cannot be read.
    """
    path = folder / MANIFEST
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise MMKDValueError(
            f'The manifest {path} of the cached logits cannot be read '
            f'({str(error).splitlines()[0]}): delete the folder, and the '
            'logits are computed anew.'
        ) from error
    # As it is once written and read: tuples are lists then.
    wanted = json.loads(to_text(manifest))
    if not isinstance(found, dict):
        found = {}
    names = [
        name
        for name in (*wanted, *(found.keys() - wanted.keys()))
        if name not in found
        or name not in wanted
        or found[name] != wanted[name]
    ]
    if names:
        there, now = (
            shown(side.get(names[0]), 80) for side in (found, wanted)
        )
        raise MMKDValueError(
            f'The cached logits in {folder} are not those of this training: '
            f'{few(names)} differ, {names[0]} being {there} there and {now} '
            'now: let `cache` in `teacher` name another folder, or delete '
            'this one.'
        )
