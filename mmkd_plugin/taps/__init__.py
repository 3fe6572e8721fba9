"""Where the logits of a model are, by kind of head."""

from .logit_pair import LogitPair
from .roi_head_tap import RoIHeadTap

__all__ = ['LogitPair', 'RoIHeadTap']
