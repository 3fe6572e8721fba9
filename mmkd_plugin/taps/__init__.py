"""Where student and teacher are compared: a file per kind of output."""

from .cls_head_tap import ClsHeadTap
from .dense.dense_bin_tap import DenseBinTap
from .dense.dense_box_tap import DenseBoxTap
from .dense.dense_head_tap import DenseHeadTap
from .detr.detr_box_tap import DETRBoxTap, DETRCornerTap
from .detr.detr_head_tap import DETRHeadTap
from .detr.encoder_tap import EncoderTap
from .maps.class_map_tap import ClassMapTap
from .maps.feature_tap import FeatureTap
from .maps.ofd_tap import OFDTap
from .maps.pooled_tap import PooledTap
from .reading import Reading, Stage
from .roi.roi_box_tap import RoIBoxTap
from .roi.roi_head_tap import RoIHeadTap
from .rpn.rpn_tap import RPNBoxTap, RPNHeadTap

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
