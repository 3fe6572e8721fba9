"""Where the logits of a model are, by kind of head."""

from .roi_head_tap import RoIHeadTap

__all__ = ['RoIHeadTap']
