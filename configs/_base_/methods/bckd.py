# BCKD (arXiv 2308.14286), for detectors with a sigmoid per class: every class
# of every place, and the GIoU of the boxes where both models disagree on the
# classes. The weights are those of the authors' configs for GFL.

distill = dict(
    type='DistillHook',
    losses=dict(
        loss_bckd=dict(type='BCKDLoss', beta=1.0, loss_weight=1.0),
        loss_boxiou=dict(
            type='BoxIoULoss',
            mode='giou',
            loss_weight=4.0,
            tap=dict(type='DenseBoxTap', weights='gap'),
        ),
    ),
)
