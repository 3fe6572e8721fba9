"""What ``tools/train.py`` and ``tools/test.py`` share: options to config."""

import argparse
import os
import shutil
from difflib import get_close_matches
from inspect import signature
from pathlib import Path
from textwrap import shorten

from mmengine.config import Config, DictAction
from mmengine.device import get_device
from mmengine.dist import is_distributed
from mmengine.runner import Runner
from mmengine.utils import import_modules_from_strings

from .exceptions import MMKDFileNotFoundError, MMKDOSError, MMKDValueError

DATA_KEYS = (
    'train_dataloader',
    'val_dataloader',
    'test_dataloader',
    'val_evaluator',
    'test_evaluator',
)
# What MMEngine reads of a config: the arguments of its runner, and these.
CONFIG_KEYS = {
    *signature(Runner.__init__).parameters,
    'activation_checkpointing',
    'compile',
    'custom_imports',
    'efficient_conv_bn_eval',
    'model_wrapper_cfg',
    'runner_type',
}
# Launcher -> variables that it sets, and how it is started.
LAUNCHERS = dict(
    pytorch=(
        ('RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT'),
        'torchrun, as in tools/dist_train.sh',
    ),
    slurm=(
        ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_NODELIST'),
        'srun, as in tools/slurm_train.sh',
    ),
    mpi=(
        ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE'),
        "Open MPI's mpirun",
    ),
)
# Bytes in the work directory for the log and the config.
LEAST_SPACE = 1 << 20


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
        '--trust-checkpoint',
        action='store_true',
        help='run the code that the given checkpoints may hold, where they '
        'are refused otherwise; only for files whose origin you know',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', *LAUNCHERS],
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
        FileNotFoundError: If the file is not there.
        ValueError: If it cannot be read, or an option does not fit it.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    if not Path(args.config).is_file():
        raise MMKDFileNotFoundError(
            f'The config file {args.config!r} was not found: '
            'give the path of an existing config.'
        )
    try:
        cfg = Config.fromfile(args.config)
    except (ImportError, OSError, SyntaxError, NameError, KeyError) as error:
        # MMEngine adds all of `sys.path` to a failed import.
        reason = str(error.__context__ or error).strip().splitlines()[0]
        raise MMKDValueError(
            f'The config file {args.config!r} could not be read '
            f'({type(error).__name__}: {reason}): correct it.'
        ) from error
    if 'data_root' in args.cfg_options:
        _move_data(cfg, args.cfg_options['data_root'])
    for key, value in args.cfg_options.items():
        top = key.split('.')[0]
        if top not in cfg and top not in CONFIG_KEYS:
            near = get_close_matches(top, {*cfg, *CONFIG_KEYS}, 1)
            raise MMKDValueError(
                f'--cfg-options {key} names nothing that the config '
                f'{args.config!r} has or MMEngine reads: '
                f'{f"did you mean {near[0]}?" if near else "correct it."}'
            )
        try:
            cfg.merge_from_dict({key: value})
        except (AttributeError, KeyError, TypeError) as error:
            reason = shorten(str(error.args[0]), 100, placeholder=' ...')
            raise MMKDValueError(
                f'--cfg-options does not fit the config {args.config!r} at '
                f'{key} ({reason}): give a key and an index that it has.'
            ) from error
    if any(key.startswith('custom_imports') for key in args.cfg_options):
        # MMEngine has imported what the file itself names.
        import_modules_from_strings(**cfg.custom_imports)
    cfg.launcher = args.launcher
    cfg.work_dir = (
        args.work_dir
        or cfg.get('work_dir')
        or str(Path('work_dirs', Path(args.config).stem))
    )
    return cfg


def check_start(cfg, *needed):
    """Refuse what would fail, or be passed over, after minutes of loading.

    Nothing is written.

    Args:
        cfg (Config): As :func:`load_config` returned it.
        needed (str): Keys that the config must have.

    Raises:
        ValueError: If a key is missing, or the process was not started as
            the launcher does it.
        OSError: If the work directory cannot be written.
    """
    missing = [key for key in needed if cfg.get(key) is None]
    if missing:
        raise MMKDValueError(
            f'The config {cfg.filename} has no `{missing[0]}`, which this '
            'command needs: give a whole config, not a part of one.'
        )
    _check_launcher(cfg.launcher)
    _check_work_dir(Path(cfg.work_dir))
    if (
        cfg.get('resume')
        and not cfg.get('load_from')
        and not Path(cfg.work_dir).is_dir()
    ):
        raise MMKDFileNotFoundError(
            f'There is nothing to resume in the work directory '
            f'{cfg.work_dir}, which does not exist: name the one of the run '
            'with --work-dir, or start without --resume.'
        )


def _check_launcher(launcher):
    """Compare what the launcher should have set with what is there."""
    if launcher == 'none' or is_distributed():
        return
    variables, command = LAUNCHERS[launcher]
    missing = [name for name in variables if name not in os.environ]
    if missing:
        raise MMKDValueError(
            f'--launcher {launcher} expects the environment of {command}, '
            f'but {missing[0]} is not set: start it so, or leave --launcher '
            'out to train in one process.'
        )
    if get_device() == 'cpu':
        raise MMKDValueError(
            f'--launcher {launcher} needs a GPU for each process, but '
            'PyTorch finds none: leave --launcher out to run on the CPU.'
        )


def _check_work_dir(path):
    """Ask whether a folder can be made and written, without doing so."""
    # Not `Path.exists`, which raises where a folder may not be looked into.
    there = next(
        parent
        for parent in (path, *path.absolute().parents)
        if os.path.exists(parent)
    )
    if not there.is_dir():
        raise MMKDOSError(
            f'The work directory {path} cannot be made, because {there} is a '
            'file: choose another with --work-dir.'
        )
    by_effective = os.access in os.supports_effective_ids
    if not os.access(there, os.W_OK | os.X_OK, effective_ids=by_effective):
        raise MMKDOSError(
            f'The work directory {path} cannot be written, because {there} '
            'is read-only for this user: choose another with --work-dir.'
        )
    if shutil.disk_usage(there).free < LEAST_SPACE:
        raise MMKDOSError(
            f'The work directory {path} has less than '
            f'{LEAST_SPACE >> 20} MiB left: free some space or choose '
            'another with --work-dir.'
        )


def _move_data(cfg, new_root):
    """Replace the config's ``data_root`` wherever a path begins with it."""
    old_root = cfg.get('data_root')
    if not old_root:
        raise MMKDValueError(
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
