# Knowledge distillation (arXiv 1503.02531) as RLD and DKD compare with it on
# ImageNet: 0.5 of this term and 0.5 of the cross entropy.

distill = dict(
    type='DistillHook',
    losses=dict(loss_kd=dict(type='KDLoss', tau=1.0, loss_weight=0.5)),
)

model = dict(head=dict(loss=dict(loss_weight=0.5)))
