# Attention transfer (arXiv 1612.03928) with the weight that comparisons of
# methods on CIFAR-100 have for all pairs. The cross entropy has a weight of 1.

distill = dict(
    type='DistillHook',
    losses=dict(loss_at=dict(type='ATLoss', loss_weight=1000.0)),
)
