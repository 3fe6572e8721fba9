"""What tells a teacher from others."""

import hashlib
import json

import torch
import torch.nn as nn
from mmengine.config import Config


def identity_of(model: nn.Module, cfg: Config) -> dict[str, str]:
    """What tells a teacher from others.

    Args:
        model: As its checkpoint has it, before folding.
        cfg: Its config.

    Returns:
        SHA-256 of its weights, and of its config.
    """
    return dict(
        weights=_sha256_of_weights(model), config=_sha256_of_model(cfg)
    )


def _sha256_of_weights(model: nn.Module) -> str:
    """SHA-256 of the names and values of a model's state dict."""
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        digest.update(f'{name} {value.dtype} {tuple(value.shape)}'.encode())
        # Of any dtype, also those that NumPy does not have.
        flat = value.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy())
    return digest.hexdigest()


def _sha256_of_model(cfg: Config) -> str:
    """SHA-256 of the model in a config, with its data preprocessor."""
    parts = {key: cfg.get(key) for key in ('model', 'data_preprocessor')}
    text = json.dumps(parts, sort_keys=True, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()
