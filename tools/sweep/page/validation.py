"""The checkpoint, the config and the images that a training validated with."""

from contextlib import redirect_stdout
from io import BytesIO, StringIO
from pathlib import Path

from mmengine.config import Config
from mmengine.fileio import get
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from PIL import Image

from mmkd_plugin.resume.last_checkpoint import last_named


class Unusable(Exception):
    """Why a training cannot be shown, as the end of a sentence."""


def checkpoint_of(folder):
    """The last checkpoint of a training, wherever its folder lies now.

    Args:
        folder (Path): The folder of the training.

    Returns:
        Path: The file.

    Raises:
        Unusable: If it is not there.
    """
    named = last_named(folder)
    if named is None:
        raise Unusable(f'{folder} names no checkpoint in last_checkpoint')
    for path in (folder / Path(named).name, Path(named)):
        if path.is_file():
            return path
    raise Unusable(f'the checkpoint {Path(named).name} is gone from {folder}')


def read_config(folder):
    """The config of a training as MMEngine has recorded it.

    Args:
        folder (Path): The folder of the training.

    Returns:
        Config: The config.

    Raises:
        Unusable: If it is not there.
    """
    paths = sorted(folder.glob('*/vis_data/config.py'))
    if not paths:
        raise Unusable(f'there is no */vis_data/config.py in {folder}')
    return Config.fromfile(paths[-1])


def dataset_of(cfg):
    """Build the validation set of a config, and enter its scope."""
    init_default_scope(cfg.get('default_scope') or 'mmengine')
    # Of pycocotools, which tells how it reads a file.
    with redirect_stdout(StringIO()):
        return Runner.build_dataloader(cfg.val_dataloader).dataset


def open_images(folder, indices):
    """Open images of a validation set.

    Args:
        folder (Path): The folder of a training.
        indices (list[int]): Which images.

    Returns:
        list[Image]: In RGB.
    """
    dataset = dataset_of(read_config(folder))
    return [_open(dataset, index).convert('RGB') for index in indices]


def _open(dataset, index):
    """An image of a file or, in data sets such as CIFAR's, of an array."""
    if not hasattr(dataset, 'get_data_info'):
        pixels = dataset[index]['inputs']
        return Image.fromarray(pixels.permute(1, 2, 0).numpy())
    info = dataset.get_data_info(index)
    if info.get('img_path'):
        return Image.open(BytesIO(get(info['img_path'])))
    return Image.fromarray(info['img'])
