# Knowledge distillation (arXiv 1503.02531) as RLD and DKD compare with it on
# CIFAR-100: 0.9 of this term and 0.1 of the cross entropy.

distill = dict(
    type='DistillHook',
    losses=dict(loss_kd=dict(type='KDLoss', tau=4.0, loss_weight=0.9)),
)

model = dict(head=dict(loss=dict(loss_weight=0.1)))
