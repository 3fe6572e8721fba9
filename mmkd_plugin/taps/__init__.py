"""Where student and teacher are compared: a file per kind of head."""

from .cls_head_tap import ClsHeadTap
from .reading import Reading
from .roi_head_tap import RoIHeadTap

__all__ = ['ClsHeadTap', 'Reading', 'RoIHeadTap']
