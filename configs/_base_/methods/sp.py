# Similarity-preserving distillation (arXiv 1907.09682) with the weight that
# comparisons of methods on CIFAR-100 use for all pairs, for batches of 64 in
# one process. The cross entropy has a weight of 1.

distill = dict(
    type='DistillHook',
    losses=dict(loss_sp=dict(type='SPLoss', loss_weight=3000.0)),
)
