"""Where student and teacher are compared: a file per kind of output."""

from .cls_head_tap import ClsHeadTap
from .feature_tap import FeatureTap
from .reading import Reading, Stage
from .roi_box_tap import RoIBoxTap
from .roi_head_tap import RoIHeadTap
from .rpn_tap import RPNBoxTap, RPNHeadTap

__all__ = [
    'ClsHeadTap',
    'FeatureTap',
    'RPNBoxTap',
    'RPNHeadTap',
    'Reading',
    'RoIBoxTap',
    'RoIHeadTap',
    'Stage',
]
