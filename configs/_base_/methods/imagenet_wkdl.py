# WKD-L (arXiv 2412.08139) with the numbers of the authors' ImageNet configs,
# from copies of their code, see docs/methods/wkdl.md.

distill = dict(
    type='DistillHook',
    losses=dict(
        loss_wkdl=dict(
            type='WKDLLoss',
            gamma=30.0,
            tau=2.0,
            reg=0.05,
            iterations=10,
            sharpness=1.0,
        )
    ),
)

pairs = dict(
    resnet50_mobilenetv1=dict(
        distill=dict(losses=dict(loss_wkdl=dict(gamma=25.0, sharpness=2.0)))
    )
)
