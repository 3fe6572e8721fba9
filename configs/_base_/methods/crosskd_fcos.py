# CrossKD (arXiv 2306.11369) for FCOS: the teacher's head continues after the
# second of the four convolutions of the student's towers. The settings are
# those of the authors' config for FCOS R101 -> R50. They divide by the sum of
# the centerness targets; here it is the number of positive places, which is
# larger. So their terms pull harder, by 1 over the mean of the targets.

distill = dict(
    type='DistillHook',
    losses=dict(
        loss_bckd=dict(
            type='BCKDLoss',
            beta=1.0,
            loss_weight=0.4,
            tap=dict(type='DenseHeadTap', crossed=True, reuse=2),
        ),
        loss_boxiou=dict(
            type='BoxIoULoss',
            mode='log_iou',
            loss_weight=0.75,
            tap=dict(
                type='DenseBoxTap',
                weights='confidence',
                crossed=True,
                reuse=2,
            ),
        ),
    ),
)
