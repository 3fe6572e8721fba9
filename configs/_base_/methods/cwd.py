# CWD, channel-wise distillation (arXiv 2011.13256): where each channel of all
# levels of the neck is active. The settings are those of MMRazor's config for
# Faster R-CNN R101 -> R50, which has no published result.

distill = dict(
    type='DistillHook',
    losses=dict(loss_cwd=dict(type='CWDLoss', tau=1.0, loss_weight=10.0)),
)
