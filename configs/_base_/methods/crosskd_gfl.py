# CrossKD (arXiv 2306.11369) for GFL: the teacher's head continues after the
# third of the four convolutions of the student's towers. The settings are
# those of the authors' config for GFL R101 -> R50.

distill = dict(
    type='DistillHook',
    losses=dict(
        loss_bckd=dict(
            type='BCKDLoss',
            beta=1.0,
            loss_weight=1.0,
            tap=dict(type='DenseHeadTap', crossed=True, reuse=3),
        ),
        loss_ld=dict(
            type='LDLoss',
            tau=1.0,
            loss_weight=4.0,
            normalize='weights',
            tap=dict(
                type='DenseBinTap', rows='confidence', crossed=True, reuse=3
            ),
        ),
    ),
)
