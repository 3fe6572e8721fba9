# L1 distance of the box deltas of the RoIs that the teacher calls foreground,
# as in the released code of ALDI (arXiv 2403.12029), with its weight. There it
# is one of several terms for domain adaptation; we know of no published figure
# for it alone.

distill = dict(
    type='DistillHook',
    losses=dict(loss_box=dict(type='BoxL1Loss', loss_weight=1.0)),
)
