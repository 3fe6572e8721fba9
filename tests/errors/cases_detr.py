"""Detectors whose queries cannot be distilled."""

from mmdet.models import DeformableDETR
from mmdet.registry import MODELS

from tests.helpers import tiny_detr
from tests.helpers.commands import as_text
from tests.helpers.errors_page import case

LOSSES = dict(
    loss_binarykd=dict(
        type='BinaryKDLoss', tau=1.0, tap=dict(type='DETRHeadTap')
    )
)


@MODELS.register_module()
class UnnamedDETR(DeformableDETR):
    """Calls its decoder without names."""

    def forward_decoder(self, query, query_pos, memory, **kwargs):
        order = (
            *('memory_mask', 'reference_points', 'spatial_shapes'),
            *('level_start_index', 'valid_ratios'),
        )
        states, points = self.decoder(
            query, query_pos, memory, *(kwargs[name] for name in order)
        )
        start = kwargs['reference_points']
        return dict(hidden_states=states, references=[start, *points])


def detr(w, student=None, teacher=None, strides=(1, 2, 2, 2)):
    """Train a Deformable DETR, with changes of it and of its teacher."""
    w.use('detector')
    cfg = tiny_detr.save_teacher('teacher.pth', **(teacher or {}))['config']
    cfg['model'] = cfg['model'].to_dict()
    cfg['model']['backbone']['strides'] = strides
    w.file('teacher.py', as_text(cfg))
    model = tiny_detr.detr_cfg(**(student or {})).to_dict()
    return w.train(w.hook(losses=LOSSES), model=model)


case('detr-none')(lambda w: w.use('detector').train(w.hook(losses=LOSSES)))
case('detr-softmax')(
    lambda w: detr(w, dict(loss_cls=dict(type='CrossEntropyLoss')))
)
case('detr-pair')(lambda w: detr(w, teacher=dict(layers=3)))
case('detr-call')(lambda w: detr(w, dict(kind='UnnamedDETR')))
case('detr-levels')(lambda w: detr(w, strides=(1, 2, 2, 1)))
