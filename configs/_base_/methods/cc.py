# CC, correlation congruence (arXiv 1904.01802), with its Gaussian kernel of
# the second order. The weight is that of a third party for CIFAR-10 and
# ResNet-110 -> ResNet-20 (AberHu, Knowledge-Distillation-Zoo); the paper's is
# for another sampling of batches.

distill = dict(
    type='DistillHook',
    losses=dict(loss_cc=dict(type='CCLoss', gamma=0.4, loss_weight=100.0)),
)
