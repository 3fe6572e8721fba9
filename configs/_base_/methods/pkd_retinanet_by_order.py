# PKD (arXiv 2207.02039) for RetinaNet with a two-stage teacher, as in
# MMRazor's config: it pairs the first four maps of the necks by their order,
# so that p3 of the student learns from p2 of the teacher, and so on, and
# resizes the student's to the teacher's, which are twice as high and wide.
# Maps of equal strides are `levels=['p3', 'p4', 'p5', 'p6']` alone, for which
# nothing is published.

distill = dict(
    type='DistillHook',
    losses=dict(
        loss_pkd=dict(
            type='PKDLoss',
            loss_weight=6.0,
            tap=dict(
                type='FeatureTap',
                levels=['p3', 'p4', 'p5', 'p6'],
                teacher_levels=['p2', 'p3', 'p4', 'p5'],
                resize=True,
            ),
        ),
    ),
)
