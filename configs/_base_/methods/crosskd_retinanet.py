# CrossKD (arXiv 2306.11369) for RetinaNet: the teacher's head continues after
# the third of the four convolutions of the student's towers. The settings are
# those of the authors' config for RetinaNet R101 -> R50. They are also those
# for ATSS, where the authors have a third term, of the centerness, which is
# left out here.

distill = dict(
    type='DistillHook',
    losses=dict(
        loss_bckd=dict(
            type='BCKDLoss',
            beta=1.0,
            loss_weight=1.0,
            tap=dict(type='DenseHeadTap', crossed=True, reuse=3),
        ),
        loss_boxiou=dict(
            type='BoxIoULoss',
            mode='giou',
            loss_weight=1.0,
            tap=dict(
                type='DenseBoxTap',
                weights='confidence',
                crossed=True,
                reuse=3,
            ),
        ),
    ),
)
