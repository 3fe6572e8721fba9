"""What ``tools/train.py`` and ``tools/test.py`` share: options to config."""

import argparse
import os
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError

from mmengine.config import Config, DictAction

DATA_KEYS = (
    'train_dataloader',
    'val_dataloader',
    'test_dataloader',
    'val_evaluator',
    'test_evaluator',
)


class _KeyValues(DictAction):
    """``DictAction`` with a sentence where a value has no ``=``."""

    def __call__(self, parser, namespace, values, option_string=None):
        for value in values:
            if '=' not in value:
                parser.error(
                    f'{option_string}: expected KEY=VALUE but got {value!r}'
                )
        super().__call__(parser, namespace, values, option_string)


def build_parser(description):
    """Make a parser of the options that every tool takes.

    Args:
        description (str): What the tool does.

    Returns:
        argparse.ArgumentParser: To be completed with the tool's own options.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('config', help='path of the config file')
    parser.add_argument(
        '--work-dir',
        help='where logs and results go; ./work_dirs/CONFIG_NAME by default',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=_KeyValues,
        default={},
        metavar='KEY=VALUE',
        help='change settings of the config, for example data_root=/coco/ '
        'train_dataloader.batch_size=4 custom_hooks.0.tau=2; quote lists and '
        'tuples: key="(640, 480)"',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='what starts the processes of a distributed run',
    )
    parser.add_argument(
        '--local_rank',
        '--local-rank',
        type=int,
        default=0,
        help='set by some launchers',
    )
    return parser


def load_config(args):
    """Read the config that the options name, and apply them to it.

    ``--cfg-options data_root=...`` moves all of the data: every path of a
    dataset or evaluator that begins with the config's ``data_root``.

    Args:
        args (argparse.Namespace): Parsed options of :func:`build_parser`.

    Returns:
        Config: The config, with ``work_dir`` and ``launcher`` set.

    Raises:
        SystemExit: With one sentence, if the file is not there or an option
            does not fit it.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    if not Path(args.config).is_file():
        raise SystemExit(
            f'The config file {args.config!r} was not found: '
            'give the path of an existing config.'
        )
    cfg = Config.fromfile(args.config)
    if 'data_root' in args.cfg_options:
        _move_data(cfg, args.cfg_options['data_root'])
    try:
        cfg.merge_from_dict(args.cfg_options)
    except (AttributeError, KeyError, TypeError) as error:
        raise SystemExit(
            f'--cfg-options does not fit the config {args.config!r}: {error}'
        ) from error
    cfg.launcher = args.launcher
    cfg.work_dir = (
        args.work_dir
        or cfg.get('work_dir')
        or str(Path('work_dirs', Path(args.config).stem))
    )
    return cfg


@contextmanager
def explain_missing_files():
    """Turn a missing file or a failed download into one sentence.

    Raises:
        SystemExit: Instead of ``FileNotFoundError`` and ``URLError``.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise SystemExit(
            f'{str(error).rstrip(".")}. If the file belongs to the data, '
            'name their folder with --cfg-options data_root=/path/to/data/.'
        ) from error
    except URLError as error:
        raise SystemExit(
            f'A file could not be downloaded ({error}): put it where the '
            'last lines of the log say, or give a local one, for the '
            "student's first weights with --cfg-options "
            'model.backbone.init_cfg.checkpoint=FILE.'
        ) from error


def _move_data(cfg, new_root):
    """Replace the config's ``data_root`` wherever a path begins with it."""
    old_root = cfg.get('data_root')
    if not old_root:
        raise SystemExit(
            'The config has no `data_root` for --cfg-options data_root=... '
            'to replace: give the paths of its datasets and evaluators.'
        )
    new_root = os.path.join(new_root, '')

    def move(value):
        if isinstance(value, dict):
            for key in value:
                value[key] = move(value[key])
        elif isinstance(value, (list, tuple)):
            value = type(value)(move(item) for item in value)
        elif isinstance(value, str) and value.startswith(old_root):
            value = new_root + value[len(old_root) :]
        return value

    for key in DATA_KEYS:
        if key in cfg:
            cfg[key] = move(cfg[key])
