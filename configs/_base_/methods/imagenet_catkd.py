# Class attention transfer (arXiv 2304.12777) with its authors' settings for
# ImageNet. The cross entropy has a weight of 1.

distill = dict(
    type='DistillHook',
    losses=dict(
        loss_catkd=dict(
            type='CATKDLoss', loss_weight=0.5, size=4, normalize=False
        ),
    ),
)

pairs = dict(
    resnet50_mobilenetv1=dict(
        distill=dict(
            losses=dict(
                loss_catkd=dict(loss_weight=10.0, size=2, normalize=True)
            )
        )
    )
)
