"""From command-line options to a config, for the commands in tools/."""

import argparse
import os
import shutil
from pathlib import Path

from mmengine.device import get_device
from mmengine.dist import is_distributed
from mmengine.runner import get_priority

from ..arguments import check_path, check_switch, check_text, shown
from ..exceptions import (
    MMKDFileNotFoundError,
    MMKDOSError,
    MMKDTypeError,
    MMKDValueError,
)
from ..model_config import config_of
from .config_options import (
    CONFIG_KEYS,
    KeyValues,
    apply_option,
    import_named,
    move_data,
)
from .dead_names import check_dead_names
from .method_option import use_method

# Launcher -> environment variables that it sets, and how to start it.
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
# Variables that are not numbers.
TEXTS = {'MASTER_ADDR', 'SLURM_NODELIST'}
# Least free bytes in the work directory, for log and config.
LEAST_SPACE = 1 << 20


def build_parser(description):
    """Make a parser with the options that all tools share.

    Args:
        description (str): What the tool does.

    Returns:
        argparse.ArgumentParser: To which a tool adds its own options.
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
        action=KeyValues,
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
    """Read the config that the options name, and apply the options.

    ``--cfg-options data_root=...`` moves all of the data: every path of a
    dataset or evaluator that begins with the config's ``data_root``.
    ``method=...`` is :func:`~mmkd_plugin.cli.method_option.use_method`.  A
    name that is set where nothing reads it any more is refused, in the file
    and in the options.

    Args:
        args (argparse.Namespace): Parsed options of :func:`build_parser`.

    Returns:
        Config: The config, with ``work_dir`` and ``launcher`` set.

    Raises:
        FileNotFoundError: If the file is not there.
        ValueError: If it cannot be read, or an option does not fit.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = config_of(args.config, 'config file')
    options = dict(args.cfg_options)
    name = Path(args.config).stem
    if 'method' in options:
        use_method(cfg, options.pop('method'))
        name = f'{name}_{cfg.method}'
    if 'data_root' in options:
        move_data(cfg, options['data_root'])
    for key, value in options.items():
        apply_option(cfg, key, value)
    keys = [key for key in options if key != 'data_root']
    check_dead_names(args.config, CONFIG_KEYS, keys)
    if any(key.startswith('custom_imports') for key in args.cfg_options):
        # MMEngine has imported what the file itself names.
        import_named(cfg.custom_imports)
    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs', name))
    check_path('work_dir', cfg.work_dir, 'the path of a folder')
    return cfg


def check_start(cfg, *needed):
    """Refuse what would fail, or be ignored, after minutes of loading.

    Nothing is written.

    Args:
        cfg (Config): Result of :func:`load_config`.
        needed (str): Keys that the config must have.

    Raises:
        TypeError, ValueError: If a key is missing or of the wrong type, or
            the process was not started by the launcher.
        OSError: If the work directory cannot be written.
    """
    for key in needed:
        if cfg.get(key) is None:
            raise MMKDValueError(
                f'The config {cfg.filename} has no `{key}`, which this '
                'command needs: give a whole config, not a part of one.'
            )
        kinds = (dict, list) if key == 'test_evaluator' else dict
        if not isinstance(cfg[key], kinds):
            raise MMKDTypeError(
                f'Expected `{key}` of the config to be a dict but got '
                f'{shown(cfg[key])}.'
            )
    check_switch(resume=cfg.get('resume', False))
    if cfg.get('load_from') is not None:
        check_path('load_from', cfg.load_from, 'a path or URL')
    _check_hooks(cfg.get('custom_hooks'))
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


def _check_hooks(hooks):
    """Refuse what MMEngine could not build hooks from."""
    if hooks is None:
        return
    if not isinstance(hooks, (list, tuple)):
        raise MMKDTypeError(
            'Expected `custom_hooks` of the config to be a list of dicts with '
            f'`type` but got {shown(hooks)}.'
        )
    for index, hook in enumerate(hooks):
        kind = hook.get('type') if isinstance(hook, dict) else None
        if not (isinstance(kind, str) and kind.strip()) and not callable(kind):
            raise MMKDTypeError(
                f'Expected `custom_hooks.{index}` of the config to be a dict '
                f'with `type` but got {shown(hook)}.'
            )
        if isinstance(hook, dict) and hook.get('_scope_') is not None:
            check_text(f'custom_hooks.{index}._scope_', hook['_scope_'])
        try:
            get_priority(hook.get('priority', 'NORMAL'))
        except (KeyError, TypeError, ValueError) as error:
            raise MMKDValueError(
                f'Expected `custom_hooks.{index}.priority` of the config to '
                'be an integer from 0 to 100 or a name such as NORMAL but got '
                f'{shown(hook["priority"])}.'
            ) from error


def _check_launcher(launcher):
    """Check the environment variables that the launcher sets."""
    numbers = {'LOCAL_RANK', *LAUNCHERS.get(launcher, ((), ''))[0]} - TEXTS
    for name in sorted(numbers):
        value = os.environ.get(name, '0')
        if not value.isdecimal():
            raise MMKDValueError(
                f'Expected the environment variable {name} to be a number '
                f'but got {value!r}: the launcher sets it; unset it to train '
                'in one process.'
            )
    if launcher == 'none' or is_distributed():
        return
    variables, command = LAUNCHERS[launcher]
    missing = [name for name in variables if name not in os.environ]
    if missing:
        raise MMKDValueError(
            f'--launcher {launcher} expects the environment of {command}, '
            f'but {missing[0]} is not set: start it this way, or leave '
            '--launcher out to train in one process.'
        )
    if get_device() == 'cpu':
        raise MMKDValueError(
            f'--launcher {launcher} needs a GPU for each process, but '
            'PyTorch finds none: leave --launcher out to run on the CPU.'
        )


def _check_work_dir(path):
    """Check that a folder can be created and written, without doing so."""
    # Not `Path.exists`, which raises where a folder may not be read.
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
