# Knowledge distillation (arXiv 1503.02531) as RLD and DKD compare with it on
# CIFAR-100: 0.9 of this term and 0.1 of the cross entropy, which the config
# sets in the head of its model.

distill = dict(
    type='DistillHook',
    losses=dict(loss_kd=dict(type='KDLoss', tau=4.0, loss_weight=0.9)),
)
