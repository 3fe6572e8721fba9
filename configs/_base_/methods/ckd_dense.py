# CKD for a head with a sigmoid per class, which nobody has published: the
# logits of the positives are told apart, as those of RoIs are; the thousands
# of other places are nearly one point. The weight is that for RoIs, not tuned.

distill = dict(
    type='DistillHook',
    losses=dict(
        loss_ckd=dict(
            type='CKDLoss',
            tau=1.0,
            loss_weight=10.0,
            tap=dict(type='DenseHeadTap', rows='positive'),
        ),
    ),
)
