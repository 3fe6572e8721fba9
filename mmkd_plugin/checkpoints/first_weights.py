"""Check that pretrained weights really reach the model.

MMEngine loads what fits by name and shape, logs the rest and continues, even
from random weights if nothing fits.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch.nn as nn
from mmengine.model import is_model_wrapper

from ..exceptions import MMKDFileNotFoundError, MMKDValueError

# A head for other classes or a new neck is random on purpose, a backbone
# hardly ever. A modified backbone keeps most of its entries; one of another
# depth or width loses most.
MIN_FRACTION = 0.5


@contextmanager
def check_first_weights(runner) -> Iterator[None]:
    """Check the weights that are loaded within this context.

    These are ``load_from``, or otherwise every ``init_cfg`` of type
    ``Pretrained``, but not a resumed checkpoint.

    Args:
        runner (Runner): The runner whose model gets the weights.

    Raises:
        FileNotFoundError: If a file is not there.
        ValueError: See :func:`report_fit`.
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
    """Load-state-dict pre-hook that refuses a file that hardly fits."""

    def __init__(self, part, checkpoint, option, name, logger) -> None:
        self.part: nn.Module = part
        self.checkpoint, self.option = checkpoint, option
        self.name, self.logger = name, logger

    def __call__(self, state: dict, prefix: str, *_) -> None:
        if not prefix:  # with a prefix, an outer module is loaded
            self.logger.info(
                report_fit(
                    self.part, state, self.checkpoint, self.option, self.name
                )
            )


def report_fit(
    part: nn.Module,
    state: dict,
    checkpoint: str,
    option: str = '`load_from`',
    name: str = '',
) -> str:
    """Report how a state dict fits; refuse less than half of a backbone.

    Args:
        part: The model to load into, or a part of it.
        state: The state dict.
        checkpoint: Its source, for the message.
        option: The option that names it, for the message.
        name: Name of the part in the model; '' is the model.

    Returns:
        How many entries fit, and which do not.

    Raises:
        ValueError: If fewer than half of the entries of the backbone, or of
            the whole part if it has none, fit.
    """
    wanted = {
        key: value.shape
        for key, value in part.state_dict().items()
        if not key.endswith('num_batches_tracked')
    }
    fitting = [key for key in wanted if _fits(state, key, wanted[key])]
    core = [key for key in wanted if key.startswith('backbone.')] or [*wanted]
    fraction = _fraction(state, core, wanted)
    where = 'backbone' if core != [*wanted] else name or 'model'
    if core and fraction < MIN_FRACTION:
        found = round(fraction * len(core))
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
                'unexpected',
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
            _fraction(state, core, wanted, prefix) >= MIN_FRACTION
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
        if inner and _fraction(state, [*inner], inner) >= MIN_FRACTION:
            return (
                'it holds only a backbone; give it by '
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
        f'its first name is {next(iter(state), None)!r}, but {core[0]!r} '
        'was expected; give weights of this network.'
    )


def _fits(state: dict, key: str, shape) -> bool:
    return key in state and getattr(state[key], 'shape', None) == shape


def _fraction(
    state: dict, keys: list, wanted: dict, prefix: str = ''
) -> float:
    """Fraction of names that a file has with the right shape."""
    fitting = [key for key in keys if _fits(state, prefix + key, wanted[key])]
    return len(fitting) / max(len(keys), 1)


def _pretrained(part: nn.Module) -> str | None:
    """The file in ``init_cfg`` of a module."""
    cfgs = getattr(part, 'init_cfg', None) or []
    for cfg in [cfgs] if isinstance(cfgs, dict) else cfgs:
        if isinstance(cfg, dict) and cfg.get('type') == 'Pretrained':
            return cfg.get('checkpoint')
    return None


def _join(*names: str) -> str:
    return '.'.join(name for name in names if name)
