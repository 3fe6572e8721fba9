"""Distillation losses: a pure function and a registered module a method."""

from .ckd import CKDLoss, ckd_loss
from .dist import DISTLoss, dist_loss
from .dkd import DKDLoss, dkd_loss
from .kd import KDLoss, kd_loss
from .rld import RLDLoss, rld_loss

__all__ = [
    'CKDLoss',
    'DISTLoss',
    'DKDLoss',
    'KDLoss',
    'RLDLoss',
    'ckd_loss',
    'dist_loss',
    'dkd_loss',
    'kd_loss',
    'rld_loss',
]
