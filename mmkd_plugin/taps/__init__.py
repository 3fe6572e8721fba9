"""Where the logits of a model are, by kind of head."""

from .cls_head_tap import ClsHeadTap
from .roi_head_tap import RoIHeadTap

__all__ = ['ClsHeadTap', 'RoIHeadTap']
