"""Where student and teacher are compared: a file per kind of output."""

from .class_map_tap import ClassMapTap
from .cls_head_tap import ClsHeadTap
from .dense_bin_tap import DenseBinTap
from .dense_box_tap import DenseBoxTap
from .dense_head_tap import DenseHeadTap
from .detr_box_tap import DETRBoxTap, DETRCornerTap
from .detr_head_tap import DETRHeadTap
from .encoder_tap import EncoderTap
from .feature_tap import FeatureTap
from .ofd_tap import OFDTap
from .pooled_tap import PooledTap
from .reading import Reading, Stage
from .roi_box_tap import RoIBoxTap
from .roi_head_tap import RoIHeadTap
from .rpn_tap import RPNBoxTap, RPNHeadTap

__all__ = [
    'ClassMapTap',
    'ClsHeadTap',
    'DenseBinTap',
    'DenseBoxTap',
    'DenseHeadTap',
    'DETRBoxTap',
    'DETRCornerTap',
    'DETRHeadTap',
    'EncoderTap',
    'FeatureTap',
    'OFDTap',
    'PooledTap',
    'RPNBoxTap',
    'RPNHeadTap',
    'Reading',
    'RoIBoxTap',
    'RoIHeadTap',
    'Stage',
]
