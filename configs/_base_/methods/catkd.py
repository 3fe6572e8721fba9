# Class attention transfer (arXiv 2304.12777) with its authors' settings for
# ResNet-32x4 and ResNet-8x4 on CIFAR-100, and those of other pairs below. The
# cross entropy has a weight of 1.

distill = dict(
    type='DistillHook',
    losses=dict(
        loss_catkd=dict(
            type='CATKDLoss', loss_weight=15.0, size=2, normalize=False
        ),
    ),
)

# Weight, size, and whether the maps are normalised; the pairs without such a
# line have the settings above, which nobody has published for them.
pairs = {
    pair: dict(
        distill=dict(
            losses=dict(
                loss_catkd=dict(
                    loss_weight=weight, size=size, normalize=normalize
                )
            )
        )
    )
    for pair, (weight, size, normalize) in dict(
        resnet56_resnet20=(0.7, 2, False),
        resnet110_resnet32=(1.8, 2, False),
        vgg13_vgg8=(4.5, 2, False),
        wrn_40_2_wrn_16_2=(12.0, 2, False),
        wrn_40_2_wrn_40_1=(1.5, 2, False),
        resnet32x4_shufflev1=(600.0, 4, True),
        resnet32x4_shufflev2=(600.0, 4, True),
        wrn_40_2_shufflev1=(80.0, 4, True),
        resnet50_mobilenetv2=(40.0, 2, True),
        vgg13_mobilenetv2=(15.0, 2, True),
    ).items()
}
