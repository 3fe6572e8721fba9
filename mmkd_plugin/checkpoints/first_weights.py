"""The weights that a training begins with: did they reach the model?

MMEngine loads what fits by name and shape, lists the rest in the log, and goes
on, from random weights if nothing fits.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch.nn as nn
from mmengine.model import is_model_wrapper

from ..exceptions import MMKDFileNotFoundError, MMKDValueError

# A head for other classes, or a neck that is new, is random on purpose; a
# backbone hardly ever is. One that is changed keeps most of its entries, and
# one of another depth or width loses most.
LEAST_SHARE = 0.5


@contextmanager
def watched(runner) -> Iterator[None]:
    """Check what is loaded meanwhile into the model of a runner.

    ``load_from``, or else every ``init_cfg`` of type ``Pretrained``.  What
    is resumed is none of them.

    Args:
        runner (Runner): Whose model gets its first weights.

    Raises:
        FileNotFoundError: If a file is not there.
        ValueError: As :func:`check_fit`.
    """
    model = runner.model
    if is_model_wrapper(model):
        model = model.module
    sources = [
        (name, part, str(checkpoint), f'`{_join("model", name)}.init_cfg`')
        for name, part in model.named_modules()
        if (checkpoint := _pretrained(part))
    ]
    replaced = runner._load_from and not runner._resume
    if replaced:
        sources.append(('', model, str(runner._load_from), '`load_from`'))
    with ExitStack() as stack:
        for name, part, checkpoint, option in sources:
            path = Path(checkpoint).expanduser()
            if '://' not in checkpoint and not path.is_file():
                found = 'are a folder' if path.is_dir() else 'were not found'
                raise MMKDFileNotFoundError(
                    f'The first weights {checkpoint!r} of {option} {found}: '
                    'give the path or the URL of a file of weights.'
                )
            if option == '`load_from`' or not replaced:
                report = _Report(part, checkpoint, option, name, runner.logger)
                handle = part._register_load_state_dict_pre_hook(report)
                stack.callback(handle.remove)
        yield


class _Report:
    """Pre-hook of a module's loading: refuses a file that fits too little."""

    def __init__(self, part, checkpoint, option, name, logger) -> None:
        self.part: nn.Module = part
        self.checkpoint, self.option = checkpoint, option
        self.name, self.logger = name, logger

    def __call__(self, state: dict, prefix: str, *_) -> None:
        if not prefix:  # with one, a module around this one is loaded
            self.logger.info(
                check_fit(
                    self.part, state, self.checkpoint, self.option, self.name
                )
            )


def check_fit(
    part: nn.Module,
    state: dict,
    checkpoint: str,
    option: str = '`load_from`',
    name: str = '',
) -> str:
    """Refuse a state dict that fills less than half of a backbone.

    Args:
        part: What is loaded: a model, or a part of it.
        state: Names to tensors.
        checkpoint: Where they come from, for the message.
        option: Who asks for them, for the message.
        name: Name of the part in the model; '' is the model.

    Returns:
        How many entries fit, and which do not.

    Raises:
        ValueError: If fewer than half of the backbone's entries, or of all
            entries of what is no model with a backbone, fit.
    """
    wanted = {
        key: value.shape
        for key, value in part.state_dict().items()
        if not key.endswith('num_batches_tracked')
    }
    fitting = [key for key in wanted if _fits(state, key, wanted[key])]
    core = [key for key in wanted if key.startswith('backbone.')] or [*wanted]
    share = _share(state, core, wanted)
    where = 'backbone' if core != [*wanted] else name or 'model'
    if core and share < LEAST_SHARE:
        found = round(share * len(core))
        raise MMKDValueError(
            f'{checkpoint} of {option} fits {found} of the {len(core)} '
            f'entries of the {where}, fewer than half, and the rest would '
            'begin as random numbers: '
            + _advice(state, core, wanted, checkpoint, option)
        )
    others = [
        f'{len(names)} {kind} ({", ".join(names[:3])}'
        f'{", ..." if len(names) > 3 else ""})'
        for kind, names in (
            ('missing', [key for key in wanted if key not in state]),
            (
                'of another shape',
                [key for key in wanted if key in state and key not in fitting],
            ),
            (
                'that nothing takes',
                [key for key in state if key not in part.state_dict()],
            ),
        )
        if names
    ]
    return (
        f'{checkpoint} of {option} fits {len(fitting)} of the {len(wanted)} '
        f'entries of the {name or "model"}'
        f'{"; " if others else ""}{"; ".join(others)}.'
    )


def _advice(
    state: dict, core: list, wanted: dict, checkpoint: str, option: str
) -> str:
    """What to change."""
    last = max(core, key=len)
    for key in state:
        prefix = key.removesuffix(last)
        if prefix not in ('', key) and (
            _share(state, core, wanted, prefix) >= LEAST_SHARE
        ):
            if option == '`load_from`':
                return (
                    f'its names begin with {prefix!r}; give it by '
                    "model.init_cfg=dict(type='Pretrained', "
                    f'checkpoint={checkpoint!r}, prefix={prefix!r}) instead.'
                )
            return (
                f'its names begin with {prefix!r}; set prefix={prefix!r} in '
                f'{option}.'
            )
    for prefix in ('backbone.', 'model.', 'module.'):
        inner = {
            key.removeprefix(prefix): wanted[key]
            for key in core
            if key.startswith(prefix)
        }
        if inner and _share(state, [*inner], inner) >= LEAST_SHARE:
            return (
                'it holds a backbone alone; give it by '
                "model.backbone.init_cfg=dict(type='Pretrained', "
                f'checkpoint={checkpoint!r}) instead.'
            )
    named = [key for key in core if key in state]
    if 2 * len(named) > len(core):
        key = next(k for k in named if not _fits(state, k, wanted[k]))
        return (
            f'{key} is {tuple(state[key].shape)} instead of '
            f'{tuple(wanted[key])}, as of another depth or width; give '
            'weights of this network.'
        )
    return (
        f'its first name is {next(iter(state), None)!r}, where {core[0]!r} '
        'was looked for; give weights of this network.'
    )


def _fits(state: dict, key: str, shape) -> bool:
    return key in state and getattr(state[key], 'shape', None) == shape


def _share(state: dict, keys: list, wanted: dict, prefix: str = '') -> float:
    """Share of names that a file has, with the right shape."""
    fitting = [key for key in keys if _fits(state, prefix + key, wanted[key])]
    return len(fitting) / max(len(keys), 1)


def _pretrained(part: nn.Module) -> str | None:
    """The file that ``init_cfg`` of a module names."""
    cfgs = getattr(part, 'init_cfg', None) or []
    for cfg in [cfgs] if isinstance(cfgs, dict) else cfgs:
        if isinstance(cfg, dict) and cfg.get('type') == 'Pretrained':
            return cfg.get('checkpoint')
    return None


def _join(*names: str) -> str:
    return '.'.join(name for name in names if name)
