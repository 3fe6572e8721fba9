"""Applying ``--cfg-options`` to a config."""

import os
from difflib import get_close_matches
from inspect import signature
from textwrap import shorten

from mmengine.config import DictAction
from mmengine.runner import Runner
from mmengine.utils import import_modules_from_strings

from ..arguments import check_path
from ..exceptions import MMKDError, MMKDValueError
from ..model_config import reason_of

DATA_KEYS = (
    'train_dataloader',
    'val_dataloader',
    'test_dataloader',
    'val_evaluator',
    'test_evaluator',
)
# Keys of a config that MMEngine reads: the arguments of its runner, and these.
CONFIG_KEYS = {
    *signature(Runner.__init__).parameters,
    'activation_checkpointing',
    'compile',
    'custom_imports',
    'efficient_conv_bn_eval',
    'model_wrapper_cfg',
    'runner_type',
}


class KeyValues(DictAction):
    """``DictAction`` with a one-sentence error for an incomplete option."""

    def __call__(self, parser, namespace, values, option_string=None):
        for value in values:
            if '=' not in value.lstrip('='):
                parser.error(
                    f'{option_string}: expected KEY=VALUE but got {value!r}'
                )
            try:
                super().__call__(parser, namespace, [value], option_string)
            except AssertionError:
                parser.error(
                    f'{option_string}: the brackets in {value!r} do not match'
                )


def apply_option(cfg, key, value):
    """Change a config by one of --cfg-options."""
    top = key.split('.')[0]
    if top not in cfg and top not in CONFIG_KEYS:
        near = get_close_matches(top, {*cfg, *CONFIG_KEYS}, 1)
        raise MMKDValueError(
            f'--cfg-options {key} names nothing that the config '
            f'{cfg.filename!r} has or MMEngine reads: '
            f'{f"did you mean {near[0]}?" if near else "correct it."}'
        )
    try:
        cfg.merge_from_dict({key: value})
    except Exception as error:
        text = str(error.args[0] if error.args else error)
        reason = shorten(text, 100, placeholder=' ...')
        raise MMKDValueError(
            f'--cfg-options does not fit the config {cfg.filename!r} at '
            f'{key} ({reason}): give a key and an index that it has.'
        ) from error


def import_named(custom_imports):
    """Import what --cfg-options adds to ``custom_imports``."""
    try:
        import_modules_from_strings(**custom_imports)
    except MMKDError:
        raise
    except Exception as error:
        reason = reason_of(error.__context__ or error)
        raise MMKDValueError(
            '`custom_imports` of --cfg-options could not be imported '
            f'({reason}): give custom_imports.imports=NAME of a module that '
            'Python finds.'
        ) from error


def move_data(cfg, new_root):
    """Replace the config's ``data_root`` wherever a path begins with it."""
    old_root = cfg.get('data_root')
    if not old_root:
        raise MMKDValueError(
            'The config has no `data_root` for --cfg-options data_root=... '
            'to replace: give the paths of its datasets and evaluators.'
        )
    check_path('data_root', new_root, 'the path of a folder')
    check_path('data_root', old_root, 'the path of a folder')
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
