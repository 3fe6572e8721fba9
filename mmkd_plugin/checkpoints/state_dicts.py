"""What weights look like in the content of a file."""

import torch

from ..exceptions import MMKDValueError
from .stand_in import brief

# Letters of a name; longer ones are no names of modules.
LONGEST_NAME = 500


def check_state(state: object, source: object) -> None:
    """Refuse what is no state dict.

    Args:
        state: Names to tensors, it is expected.
        source: Where it comes from, for the message.

    Raises:
        ValueError: If it is anything else, or has tensors that no weight of
            a model can be filled from.
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
    """Refuse what MMEngine would stumble over.

    Args:
        content: The content of a file.
        source: Where it comes from, for the message.

    Returns:
        The same.

    Raises:
        ValueError: If its weights are none.
    """
    if not isinstance(content, dict):
        check_state(None, source)
    elif 'state_dict' in content:
        check_state(content['state_dict'], source)
    elif not content or not all(isinstance(key, str) for key in content):
        check_state(None, source)
    return content
