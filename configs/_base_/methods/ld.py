# LD, localization distillation (arXiv 2102.12252), for heads with bins, such
# as GFL's: the distributions of the sides, at the positive places. The weight
# is the authors' 0.25, divided by the 17 bins of which they take the mean. Not
# included of their method: the KL of a softmax over the classes, and the term
# of the "valuable localization region" around the positive places.

distill = dict(
    type='DistillHook',
    losses=dict(
        loss_ld=dict(
            type='LDLoss',
            tau=10.0,
            loss_weight=0.25 / 17,
            normalize='sum',
            tap=dict(type='DenseBinTap', rows='positive'),
        ),
    ),
)
