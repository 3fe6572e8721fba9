# The logits and boxes of DETRDistill (arXiv 2211.10156): the queries of
# teacher and student are matched, layer by layer, and the student learns the
# teacher's predictions for its partner. The authors sum over six decoder
# layers, with weights of 1, 5 and 2 for classes, L1 and GIoU; here the losses
# are means over the layers, hence 6, 30 and 12. Their terms on feature maps
# and on the teacher's queries are not included.

distill = dict(
    type='DistillHook',
    losses=dict(
        loss_binarykd=dict(
            type='BinaryKDLoss',
            tau=1.0,
            loss_weight=6.0,
            tap=dict(type='DETRHeadTap', crossed=False),
        ),
        loss_box=dict(
            type='BoxL1Loss',
            loss_weight=30.0,
            tap=dict(type='DETRBoxTap', crossed=False),
        ),
        loss_boxiou=dict(
            type='BoxIoULoss',
            mode='giou',
            loss_weight=12.0,
            tap=dict(type='DETRCornerTap', crossed=False),
        ),
    ),
)
