"""The modules of a model by what they are: its stages, its pooled vector.

A place is the path of a module, or the path and a part of it: ``path@input``
is what the module is given, ``path@vector`` a vector (B, C) that it gives, as
maps (B, C, 1, 1).  Both are those of its last call: a residual block calls its
one ReLU several times, at last with the sum.
"""

from collections.abc import Sequence

import torch.nn as nn

from ...exceptions import MMKDTypeError

STAGES, PREACTIVATIONS = 'stages', 'preactivations'
LAST, POOLED = 'last_map', 'pooled'
# Necks of MMPretrain that make a vector of each map.
POOLING = {'GlobalAveragePooling', 'GeneralizedMeanPooling'}


def is_named(name: str) -> bool:
    """Whether a name stands for places that each model has elsewhere."""
    return name.split('.')[0] in (STAGES, PREACTIVATIONS, LAST, POOLED)


def places(
    model: nn.Module, names: Sequence[str], role: str = 'model'
) -> tuple[str, ...]:
    """The places in a model that names stand for.

    Args:
        model: Has a ``backbone``, and a ``neck`` for 'pooled' and
            'last_map'.
        names: 'stages', the outputs of the backbone's stages, fine to coarse;
            'preactivations', what the last ReLU of each is given; 'stages.1'
            the first of them and 'stages.-1' the last; 'last_map', what the
            neck pools, and 'pooled', the vector that it makes of that; or a
            place, which stays as it is.
        role: What to call the model in messages.

    Raises:
        TypeError: If it has no such place.
    """
    found: list[str] = []
    for name in names:
        if not is_named(name):
            found.append(name)
        elif name in (LAST, POOLED):
            part = 'input' if name == LAST else 'vector'
            found.append(f'{_pooling_path(model, role)}@{part}')
        else:
            found += _of_stages(model, name, role)
    return tuple(found)


def _pooling_path(model: nn.Module, role: str) -> str:
    """The path of the module that pools the last map of a classifier."""
    neck, path = getattr(model, 'neck', None), 'neck'
    if isinstance(neck, nn.Sequential) and len(neck):
        neck, path = neck[-1], f'neck.{len(neck) - 1}'
    if not POOLING & {kind.__name__ for kind in type(neck).__mro__}:
        has = 'none' if neck is None else f'a {type(neck).__name__}'
        raise MMKDTypeError(
            f'Expected the {role} {type(model).__name__} to have a neck that '
            f'pools, one of {", ".join(sorted(POOLING))}, but it has {has}: '
            'take an image classifier, or a loss that reads something else.'
        )
    return path


def _of_stages(model: nn.Module, name: str, role: str) -> list[str]:
    """The places of all stages, or of one."""
    kind, _, number = name.partition('.')
    backbone = getattr(model, 'backbone', None)
    # Ours name them; the ResNets of MMDetection and MMPretrain have layers.
    stages = getattr(backbone, 'stage_paths', None)
    stages = stages or getattr(backbone, 'res_layers', ())
    if kind == PREACTIVATIONS:
        stages = getattr(backbone, 'preactivation_paths', None) or [
            _input_of_last_relu(backbone, path) for path in stages
        ]
    if not stages or not all(stages):
        raise MMKDTypeError(
            f'FeatureTap knows no {kind} of the '
            f'{type(backbone).__name__} of the {role} '
            f'{type(model).__name__}: set `modules` and `teacher_modules` to '
            'the paths of modules.'
        )
    stages = [f'backbone.{path}' for path in stages]
    if not number:
        return stages
    count = len(stages)
    numbered = {str(n + 1): path for n, path in enumerate(stages)}
    numbered |= {str(n - count): path for n, path in enumerate(stages)}
    if number in numbered:
        return [numbered[number]]
    raise MMKDTypeError(
        f'The {type(backbone).__name__} of the {role} has {count} '
        f'stages, but FeatureTap is to read {name!r}: write {kind}.1 for the '
        f'first and {kind}.-1 for the last.'
    )


def _input_of_last_relu(backbone: nn.Module, path: str) -> str:
    """The place before the ReLU with which a module ends; '' if without."""
    module = backbone.get_submodule(path)
    if isinstance(module, nn.ReLU):
        return f'{path}@input'
    if isinstance(getattr(module, 'relu', None), nn.Module):
        return f'{path}.relu@input'
    if isinstance(module, nn.Sequential) and len(module):
        return _input_of_last_relu(backbone, f'{path}.{len(module) - 1}')
    return ''
