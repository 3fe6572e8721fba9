# L1 distance of the box deltas of the RoIs that the teacher calls foreground,
# as in the released code of ALDI (arXiv 2403.12029), with its weight. There it
# is one of several terms of domain adaptation; nobody has published what it
# does by itself.

distill = dict(
    type='DistillHook',
    losses=dict(loss_box=dict(type='BoxL1Loss', loss_weight=1.0)),
)
