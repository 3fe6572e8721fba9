# Variational information distillation (arXiv 1904.05835) with the weight that
# comparisons of methods on CIFAR-100 use for all pairs. The cross entropy has
# a weight of 1.

distill = dict(
    type='DistillHook',
    losses=dict(
        loss_vid=dict(
            type='VIDLoss',
            student_channels='auto',
            teacher_channels='auto',
            loss_weight=1.0,
        )
    ),
)

# A teacher of three stages, a student of four: its last has no partner.
pairs = dict(
    wrn_40_2_mobilenetv2=dict(
        distill=dict(
            losses=dict(
                loss_vid=dict(
                    tap=dict(
                        type='FeatureTap',
                        modules=['stages.1', 'stages.2', 'stages.3'],
                        teacher_modules='stages',
                        resize='pool',
                    )
                )
            )
        )
    )
)
