# CKD for a head with a sigmoid per class (we know of no publication). It
# compares the logits of the positives only, as it does those of RoIs: the
# logits of the thousands of other places are nearly equal. The weight is that
# for RoIs, not tuned.

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
