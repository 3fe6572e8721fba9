"""When distillation happens: hooks for MMEngine's runner."""

from .channels_last_hook import ChannelsLastHook
from .ckd_hook import CKDHook
from .distill_hook import DistillHook
from .exact_resume_hook import ExactResumeHook
from .rld_hook import RLDHook
from .start_check_hook import StartCheckHook

__all__ = [
    'CKDHook',
    'ChannelsLastHook',
    'DistillHook',
    'ExactResumeHook',
    'RLDHook',
    'StartCheckHook',
]
