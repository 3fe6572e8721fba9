# CWD (arXiv 2011.13256) for RTMDet-s with RTMDet-m as its teacher, with the
# settings of MMYOLO: the last convolutions of the neck, before their batch
# normalisation, each channel standardised; a trained 1x1 convolution per level
# of the student; no distillation in the last 20 of 300 epochs, which are
# without mosaic and mixup.

distill = dict(
    type='DistillHook',
    end=280,
    losses=dict(
        loss_cwd=dict(
            type='CWDLoss',
            tau=1.0,
            loss_weight=1.0,
            student_channels=[128, 128, 128],
            teacher_channels=[192, 192, 192],
            standardize=True,
            tap=dict(
                type='FeatureTap',
                modules=[f'neck.out_convs.{level}.conv' for level in range(3)],
            ),
        ),
    ),
)
