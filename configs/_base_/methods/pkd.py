# PKD, distillation by Pearson correlation (arXiv 2207.02039): the channels of
# p2 to p5 of the neck. The weight is that of MMRazor's config for Faster
# R-CNN, which its authors wrote; for RetinaNet and RepPoints it is 10.

distill = dict(
    type='DistillHook',
    losses=dict(loss_pkd=dict(type='PKDLoss', loss_weight=6.0)),
)
