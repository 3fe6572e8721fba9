# Relational distillation (arXiv 1904.05068) with the weights that comparisons
# of methods on CIFAR-100 use for all pairs, for batches of 64 in one process.
# The cross entropy has a weight of 1.

distill = dict(
    type='DistillHook',
    losses=dict(
        loss_rkd=dict(type='RKDLoss', distance_weight=25.0, angle_weight=50.0),
    ),
)
