# The box term of BCKD (arXiv 2308.14286) by itself: the GIoU of the boxes of
# student and teacher, where they disagree on the classes. The weight is that
# of the authors' configs for GFL, which also have a term for the classes.

distill = dict(
    type='DistillHook',
    losses=dict(
        loss_boxiou=dict(
            type='BoxIoULoss',
            mode='giou',
            loss_weight=4.0,
            tap=dict(type='DenseBoxTap', weights='gap'),
        ),
    ),
)
