"""Checks of state dicts in the content of a file."""

import torch

from ..exceptions import MMKDValueError
from .stand_in import brief

# Longest name in characters; no module has a longer one.
LONGEST_NAME = 500


def check_state(state: object, source: object) -> None:
    """Raise unless an object is a state dict.

    Args:
        state: The object.
        source: Its source, for the message.

    Raises:
        ValueError: If it is something else, or has tensors that cannot be
            loaded into a model.
    """
    if (
        not isinstance(state, dict)
        or not state
        or not all(
            isinstance(name, str)
            and len(name) <= LONGEST_NAME
            and isinstance(value, torch.Tensor)
            for name, value in state.items()
        )
    ):
        raise MMKDValueError(
            f'The checkpoint {source} holds no state dict: expected names '
            'and tensors, at the top level or under `state_dict`; give a '
            'file with the weights of a model.'
        )
    for name, value in state.items():
        if (
            value.layout is not torch.strided
            or value.is_quantized
            or value.is_meta
        ):
            raise MMKDValueError(
                f'The checkpoint {source} holds {brief(name)} as a sparse or '
                'quantized tensor, or without its numbers: expected plain '
                'ones; give a file with the weights of a model.'
            )


def check_loaded(content: object, source: object) -> object:
    """Raise unless MMEngine can load the weights of a file.

    Args:
        content: The content of a file.
        source: Its source, for the message.

    Returns:
        The content.

    Raises:
        ValueError: If it has no valid weights.
    """
    if not isinstance(content, dict):
        check_state(None, source)
    elif 'state_dict' in content:
        check_state(content['state_dict'], source)
    elif not content or not all(isinstance(key, str) for key in content):
        check_state(None, source)
    return content
