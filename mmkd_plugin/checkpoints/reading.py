"""Reading a teacher's checkpoint, and comparing it with a model."""

from pathlib import Path

import torch.nn as nn

from ..arguments import check_switch
from ..exceptions import MMKDValueError
from .state_dicts import check_state
from .unpickling import (
    UnsafeFileError,
    load_trusted,
    read_file,
)
from .zoo import as_named, file_of


def read_checkpoint(
    checkpoint: str, prefix: str = '', trust_checkpoint: bool = False
) -> tuple[dict, dict]:
    """Read a checkpoint without running any code that it may hold.

    Args:
        checkpoint: Path, http(s) URL or name such as
            ``torchvision://resnet50`` of a file of ``torch.save`` or of
            safetensors.  A URL is downloaded once per node into torch's hub
            directory.
        prefix: Keep only names with this prefix, and remove it.
        trust_checkpoint: Whether code in the file may run.

    Returns:
        The state dict on the CPU, and OpenMMLab's ``meta``, empty if there is
        none. ``meta`` is data: nothing in it may be built or imported.

    Raises:
        FileNotFoundError: If there is no such file, or it cannot be
            downloaded.
        TypeError: If ``trust_checkpoint`` is neither True nor False.
        ValueError: If the file is not a checkpoint of tensors, or holds
            anything that is not known to be harmless.
    """
    check_switch(trust_checkpoint=trust_checkpoint)
    path = file_of(checkpoint)
    names = (
        f"The teacher's checkpoint {str(checkpoint)!r}",
        'the path or the URL',
    )
    content = _unpack(path, trust_checkpoint, *names)
    content = as_named(str(checkpoint), content)
    state, meta = split_checkpoint(content, str(path))
    # The prefix that DistributedDataParallel adds.
    if not prefix and all(key.startswith('module.') for key in state):
        prefix = 'module.'
    kept = {
        key[len(prefix) :]: value
        for key, value in state.items()
        if key.startswith(prefix)
    }
    if not kept:
        raise MMKDValueError(
            f"No name in the teacher's checkpoint {path} begins with the "
            f'`prefix` {prefix!r}; the first one is {next(iter(state))!r}.'
        )
    return kept, meta


def split_checkpoint(content: object, source: str) -> tuple[dict, dict]:
    """Split the content of a file into weights and ``meta``.

    Args:
        content: The content.
        source: Its source, for the message.

    Returns:
        The state dict, and ``meta``.

    Raises:
        ValueError: If there are no weights, or ``meta`` is no dict.
    """
    state, meta = content, dict[str, object]()
    if isinstance(content, dict) and 'state_dict' in content:
        state, meta = content['state_dict'], content.get('meta') or {}
    check_state(state, source)
    if not isinstance(meta, dict):
        raise MMKDValueError(
            f'The checkpoint {source} holds a `meta` that is no dict but '
            f'{type(meta).__name__}: give one that MMEngine has written.'
        )
    return state, meta  # type: ignore[return-value]


def _unpack(path: Path, trust_checkpoint: bool, *names: str) -> object:
    """Read a file; if it is refused, name the option of the teacher."""
    if trust_checkpoint:
        return load_trusted(path, 'cpu', *names)
    try:
        return read_file(path, 'cpu', *names)
    except UnsafeFileError as error:
        raise MMKDValueError(
            f'The checkpoint {path} was refused: {error.__cause__} Set '
            '`trust_checkpoint=True` in `teacher` if you know where the file '
            'comes from.'
        ) from error


def load_strictly(
    model: nn.Module,
    state: dict,
    source: str,
    role: str = 'teacher',
    advice: str | None = None,
) -> None:
    """Load a state dict and refuse anything but a complete match.

    Args:
        model: The model to fill.
        state: The state dict.
        source: Its source, for the message.
        role: What to call the model in the message.
        advice: A sentence on what to do; by default, one that is chosen by
            what does not fit.

    Raises:
        ValueError: If names are missing, unexpected or of another shape.
    """
    wanted = model.state_dict()
    shapes = [
        f'{key} {tuple(state[key].shape)} instead of '
        f'{tuple(wanted[key].shape)}'
        for key in wanted
        if key in state and state[key].shape != wanted[key].shape
    ]
    fitting = {
        key: value
        for key, value in state.items()
        if key not in wanted or value.shape == wanted[key].shape
    }
    # Names alone are not enough: modules rename entries of older versions.
    missing, unexpected = model.load_state_dict(fitting, strict=False)
    missing = [
        key
        for key in missing
        if key not in state and not key.endswith('num_batches_tracked')
    ]
    problems = [
        f'{len(names)} {kind} ({", ".join(names[:3])}'
        f'{", ..." if len(names) > 3 else ""})'
        for kind, names in (
            ('missing', missing),
            ('unexpected', unexpected),
            ('of another shape', shapes),
        )
        if names
    ]
    if problems:
        raise MMKDValueError(
            f"The {role}'s checkpoint {source} does not fit its config: "
            f'{"; ".join(problems)} of {len(wanted)} entries. '
            + (
                advice
                or _likely_cause(
                    role, wanted, state, missing, unexpected, shapes
                )
            )
        )


def _likely_cause(
    role: str,
    wanted: dict,
    state: dict,
    missing: list,
    unexpected: list,
    shapes: list,
) -> str:
    """One sentence on what to change, chosen by what does not fit."""
    last = max(wanted, key=len)
    for key in state:
        prefix = key[: -len(last)] if key.endswith(last) else ''
        if prefix and all(
            prefix + name in state
            for name in wanted
            if not name.endswith('num_batches_tracked')
        ):
            change = (
                f'set `prefix={prefix!r}` in `teacher`'
                if role == 'teacher'
                else f'take {prefix!r} off its names'
            )
            return f'It was saved by a wrapper around the model: {change}.'
    if role == 'teacher':
        advice = _part_of_a_model(wanted, state, missing, unexpected, shapes)
        if advice:
            return advice
    heads = ('fc_cls', 'fc_reg', 'head.fc', 'conv_logits', 'mask_head')
    if shapes and all(any(h in name for h in heads) for name in shapes):
        return (
            'Its head is for another number of classes: set `num_classes` '
            f"in the {role}'s config to that of the checkpoint."
        )
    if shapes and all('pos_embed' in name for name in shapes):
        return (
            'Its position embeddings are for images of another size: set '
            "`img_size` of the backbone in the teacher's config to that of "
            'the checkpoint, and resize the images by `input_size` in '
            '`teacher`.'
        )
    if any('backbone.' in name for name in (*missing, *unexpected)):
        return (
            'Its backbone is another one, perhaps of another depth: give the '
            'config that this checkpoint was trained with.'
        )
    return 'Give the config that this checkpoint was trained with.'


def _part_of_a_model(
    wanted: dict, state: dict, missing: list, unexpected: list, shapes: list
) -> str:
    """What to do if a file holds more or less than a backbone; or ''."""
    own = [name for name in wanted if name.startswith('backbone.')]
    rest = [name for name in (*missing, *unexpected) if name not in own]
    if not own or shapes:
        return ''
    if missing and all(
        name.startswith(('neck.', 'head.')) for name in missing
    ):
        return (
            'It holds no such parts: if only maps of the backbone are read, '
            "set `neck=None` and `head=None` in the `model` of the teacher's "
            'config.'
        )
    cure = ''
    if all(name.removeprefix('backbone.') in state for name in own):
        cure = "`part='backbone'`"
    elif rest == unexpected and len(own) == len(wanted):
        cure = "`prefix='backbone.'` and `part='backbone'`"
    return cure and (
        f'To read the weights of its backbone alone, set {cure} in '
        '`teacher`, and neither neck nor head in the `model` of its config.'
    )
