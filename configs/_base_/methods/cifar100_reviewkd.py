# ReviewKD (arXiv 2104.09044) on CIFAR-100, with its authors' weights, by pair
# below, and their warm-up of 20 epochs. The stages and the pooled vector are
# compared: the student's after the last ReLU, the teacher's before it. The
# cross entropy has a weight of 1.

distill = dict(
    type='DistillHook',
    losses=dict(
        loss_reviewkd=dict(
            type='ReviewKDLoss',
            student_channels='auto',
            teacher_channels='auto',
            mid_channels=None,
            loss_weight=5.0,
            tap=dict(
                type='FeatureTap',
                modules=['stages', 'pooled'],
                teacher_modules=['preactivations', 'pooled'],
                resize='keep',
            ),
        ),
    ),
    warmup=20,
)

# The authors' weights. That of ResNet-50 and MobileNetV2 is what a user of
# mdistiller found to give the published figure. None is published for the
# other pairs, VGG among them: they have the 5 above, untuned.
pairs = {
    pair: dict(
        distill=dict(losses=dict(loss_reviewkd=dict(loss_weight=weight)))
    )
    for pair, weight in dict(
        resnet56_resnet20=0.6,
        resnet110_resnet20=0.6,
        resnet110_resnet32=1.0,
        resnet32x4_shufflev2=8.0,
        resnet50_mobilenetv2=30.0,
    ).items()
}
# A teacher of three stages, a student of four: its last has no partner.
pairs['wrn_40_2_mobilenetv2'] = dict(
    distill=dict(
        losses=dict(
            loss_reviewkd=dict(
                tap=dict(
                    modules=['stages.1', 'stages.2', 'stages.3', 'pooled']
                )
            )
        )
    )
)
