# Decoupled Knowledge Distillation (arXiv 2203.08679), with the settings of its
# COCO experiments.

distill = dict(
    type='DistillHook',
    losses=dict(
        loss_dkd=dict(
            type='DKDLoss', alpha=1.0, beta=0.25, tau=1.0, loss_weight=1.0
        )
    ),
)
