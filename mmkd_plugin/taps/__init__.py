"""Where student and teacher are compared: a file per kind of output."""

from .cls_head_tap import ClsHeadTap
from .dense_bin_tap import DenseBinTap
from .dense_box_tap import DenseBoxTap
from .dense_head_tap import DenseHeadTap
from .feature_tap import FeatureTap
from .reading import Reading
from .roi_box_tap import RoIBoxTap
from .roi_head_tap import RoIHeadTap
from .rpn_tap import RPNBoxTap, RPNHeadTap

__all__ = [
    'ClsHeadTap',
    'DenseBinTap',
    'DenseBoxTap',
    'DenseHeadTap',
    'FeatureTap',
    'RPNBoxTap',
    'RPNHeadTap',
    'Reading',
    'RoIBoxTap',
    'RoIHeadTap',
]
