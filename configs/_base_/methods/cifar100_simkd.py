# SimKD (arXiv 2203.14001) of the pairs on CIFAR-100: the projector and the
# teacher's classifier, which the head takes over and keeps.

_base_ = './simkd.py'

optim_wrapper = dict(paramwise_cfg=_base_.paramwise_cfg)

# Channels of the last maps.
channels = dict(
    resnet20=64,
    resnet32=64,
    resnet56=64,
    resnet110=64,
    resnet8x4=256,
    resnet32x4=256,
    resnet50=2048,
    wrn_16_2=128,
    wrn_40_1=64,
    wrn_40_2=128,
    vgg8=512,
    vgg13=512,
    mobilenetv2=1280,
    shufflev1=960,
    shufflev2=1024,
)
pairs = {
    f'{teacher}_{student}': dict(
        model=dict(
            neck=[
                dict(in_channels=own, out_channels=other, **_base_.projector),
                dict(type='GlobalAveragePooling'),
            ],
            head=dict(in_channels=other),
        )
    )
    for teacher, other in channels.items()
    for student, own in channels.items()
}
