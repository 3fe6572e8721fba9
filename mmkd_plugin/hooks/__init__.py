"""When distillation happens: hooks for MMEngine's runner."""

from .bfloat16_optim_wrapper import BFloat16OptimWrapper
from .channels_last_hook import ChannelsLastHook
from .ckd_hook import CKDHook
from .distill_hook import DistillHook
from .rld_hook import RLDHook
from .start_check_hook import StartCheckHook

__all__ = [
    'BFloat16OptimWrapper',
    'CKDHook',
    'ChannelsLastHook',
    'DistillHook',
    'RLDHook',
    'StartCheckHook',
]
