# Decoupled Knowledge Distillation (arXiv 2203.08679) with the settings of its
# CIFAR-100 experiments. `beta` is 8 for ResNet-32x4 and ResNet-50 as teachers.

distill = dict(
    type='DistillHook',
    losses=dict(loss_dkd=dict(type='DKDLoss', alpha=1.0, beta=8.0, tau=4.0)),
    warmup=20,
)

pairs = {
    pair: dict(distill=dict(losses=dict(loss_dkd=dict(beta=beta))))
    for beta, names in {
        2.0: ['resnet56_resnet20', 'resnet110_resnet20', 'resnet110_resnet32'],
        6.0: [
            *('vgg13_vgg8', 'vgg13_mobilenetv2'),
            *('wrn_40_2_wrn_16_2', 'wrn_40_2_wrn_40_1'),
            *('wrn_40_2_resnet8x4', 'wrn_40_2_mobilenetv2'),
        ],
    }.items()
    for pair in names
}
