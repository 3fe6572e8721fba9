"""MMEngine's checkpoint names, such as ``torchvision://resnet50``."""

from pathlib import Path

from mmengine.runner.checkpoint import (
    get_deprecated_model_names,
    get_external_models,
    get_mmcls_models,
    get_torchvision_models,
)

from ..exceptions import MMKDImportError, MMKDValueError
from .download import download

NOT_COVERED = (
    'The checkpoint {0!r} is named in a way that is not read here: download '
    'it, and give the path of the local file.'
)
URLS = ('https://', 'http://')
ZOOS = {
    'torchvision://': get_torchvision_models,
    'modelzoo://': get_torchvision_models,
    'open-mmlab://': get_external_models,
    'openmmlab://': get_external_models,
    'mmcls://': get_mmcls_models,
}
SCHEMES = (*URLS, *ZOOS)


def file_of(checkpoint: str) -> Path:
    """The file of a checkpoint, which is downloaded if it is none.

    Args:
        checkpoint: Path, or a name that begins with one of `SCHEMES`.

    Raises:
        FileNotFoundError, ValueError: See :func:`fetch`.
    """
    if str(checkpoint).startswith(SCHEMES):
        return fetch(str(checkpoint))
    if '://' in str(checkpoint):
        raise MMKDValueError(NOT_COVERED.format(str(checkpoint)))
    return Path(checkpoint).expanduser()


def fetch(name: str) -> Path:
    """Download a URL, or a model of a model zoo.

    Args:
        name: A name that begins with one of `SCHEMES`.

    Returns:
        The file.

    Raises:
        FileNotFoundError: If it cannot be downloaded.
        ValueError: If the zoo has no such model.
    """
    if name.startswith(URLS):
        return download(name)
    prefix, model = name.split('://', 1)
    try:
        models = ZOOS[f'{prefix}://']()
    except ImportError as error:
        raise MMKDImportError(
            f'The checkpoint {name!r} is of torchvision, which is not '
            'installed: install it, or give the path of a local file.'
        ) from error
    if prefix.replace('-', '') == 'openmmlab':
        model = get_deprecated_model_names().get(model, model)
    if model not in models:
        raise MMKDValueError(
            f'The checkpoint {name!r} is not among the {len(models)} models '
            f'that MMEngine knows as {prefix}://: correct the name, or give '
            'a URL or the path of a local file.'
        )
    if not str(models[model]).startswith(URLS):
        raise MMKDValueError(NOT_COVERED.format(name))
    return download(models[model])


def as_named(name: str, content: object) -> object:
    """The content that MMEngine returns for a name: ``mmcls://`` has no head.

    Args:
        name: See :func:`fetch`.
        content: Content of the file.

    Returns:
        For ``mmcls://`` only the backbone, otherwise ``content``.
    """
    if not name.startswith('mmcls://') or not isinstance(content, dict):
        return content
    state = content.get('state_dict', content)
    return dict(
        state_dict={
            key.removeprefix('backbone.'): value
            for key, value in state.items()
            if key.startswith('backbone.')
        }
    )
