# Decoupled Knowledge Distillation (arXiv 2203.08679) with the settings of its
# ImageNet experiments.

distill = dict(
    type='DistillHook',
    losses=dict(loss_dkd=dict(type='DKDLoss', alpha=1.0, beta=0.5, tau=1.0)),
    warmup=1,
)

pairs = dict(
    resnet50_mobilenetv1=dict(
        distill=dict(losses=dict(loss_dkd=dict(beta=2.0)))
    )
)
