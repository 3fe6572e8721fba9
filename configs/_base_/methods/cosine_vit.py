# The cosine between p4 of a neck of 256 channels and the last map of a ViT-B,
# after a trained 1x1 convolution. No weight is published for this form: 1 is
# not tuned.

distill = dict(
    type='DistillHook',
    losses=dict(
        loss_cosine=dict(
            type='CosineLoss',
            loss_weight=1.0,
            student_channels=[256],
            teacher_channels=[768],
            tap=dict(
                type='FeatureTap',
                modules='neck',
                teacher_modules='backbone',
                levels=['p4'],
            ),
        ),
    ),
)
