# SimKD (arXiv 2203.14001): through a projector, which stays, the student
# imitates the map that the teacher's classifier reads; it takes over the
# classifier, which is not trained. So the trained network is not the plain
# student.

distill = dict(
    type='DistillHook',
    task_loss=False,
    inherit=['head'],
    losses=dict(
        loss_simkd=dict(
            type='FitNetLoss',
            loss_weight=1.0,
            tap=dict(type='FeatureTap', modules='last_map', resize='pool'),
        )
    ),
)
# Of ResNet-32x4 and ResNet-8x4.
model = dict(
    neck=[
        dict(
            type='SimKDProjector', in_channels=256, out_channels=256, ratio=2
        ),
        dict(type='GlobalAveragePooling'),
    ],
    head=dict(in_channels=256),
)
optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys={'head.fc': dict(lr_mult=0, decay_mult=0)})
)
# Channels of the last map of student and teacher.
channels = dict(
    resnet110_resnet20=(64, 64),
    resnet110_resnet32=(64, 64),
    resnet32x4_resnet8x4=(256, 256),
    resnet32x4_shufflev1=(960, 256),
    resnet32x4_shufflev2=(1024, 256),
    resnet32x4_wrn_16_2=(128, 256),
    resnet32x4_wrn_40_2=(128, 256),
    resnet34_resnet18=(512, 512),
    resnet50_mobilenetv1=(1024, 2048),
    resnet50_mobilenetv2=(1280, 2048),
    resnet56_resnet20=(64, 64),
    vgg13_mobilenetv2=(1280, 512),
    vgg13_vgg8=(512, 512),
    wrn_40_2_mobilenetv2=(1280, 128),
    wrn_40_2_resnet8x4=(256, 128),
    wrn_40_2_shufflev1=(960, 128),
    wrn_40_2_wrn_16_2=(128, 128),
    wrn_40_2_wrn_40_1=(64, 128),
)
pairs = {
    pair: {
        'model.neck.0.in_channels': own,
        'model.neck.0.out_channels': other,
        'model.head.in_channels': other,
    }
    for pair, (own, other) in channels.items()
}
del channels
