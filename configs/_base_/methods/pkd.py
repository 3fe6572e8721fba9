# PKD, distillation via the Pearson correlation coefficient (arXiv 2207.02039),
# with the weight of MMRazor's config for Faster R-CNN; levels p2 to p5.

distill = dict(
    type='DistillHook',
    losses=dict(loss_pkd=dict(type='PKDLoss', loss_weight=6.0)),
)
