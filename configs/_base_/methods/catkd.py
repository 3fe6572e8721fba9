# Class attention transfer (arXiv 2304.12777) with its authors' settings for
# ResNet-32x4 and ResNet-8x4 on CIFAR-100; other pairs have others, see
# docs/methods/catkd.md. The cross entropy has a weight of 1.

distill = dict(
    type='DistillHook',
    losses=dict(
        loss_catkd=dict(
            type='CATKDLoss', loss_weight=15.0, size=2, normalize=False
        ),
    ),
)
