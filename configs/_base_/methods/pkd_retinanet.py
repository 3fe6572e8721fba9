# PKD (arXiv 2207.02039) for RetinaNet: p3 to p6 of the neck, with the weight
# of MMRazor's configs with a RetinaNet or FCOS as teacher.

distill = dict(
    type='DistillHook',
    losses=dict(
        loss_pkd=dict(
            type='PKDLoss',
            loss_weight=10.0,
            tap=dict(type='FeatureTap', levels=['p3', 'p4', 'p5', 'p6']),
        ),
    ),
)
