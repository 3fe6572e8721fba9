# FitNets' hints (arXiv 1412.6550): the squared distance of all levels of the
# neck. The weight is that of LD's authors for GFL R101 -> R50; for Faster
# R-CNN none is published with it.

distill = dict(
    type='DistillHook',
    losses=dict(loss_fitnet=dict(type='FitNetLoss', loss_weight=2.0)),
)
