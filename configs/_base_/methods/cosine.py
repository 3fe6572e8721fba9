# The cosine between the feature vectors of all levels of the neck, as RT-DETRv4
# (arXiv 2510.25257) has it between a detector and DINOv3, there with a weight
# that adapts. No weight is published for this form: 1 is not tuned.

distill = dict(
    type='DistillHook',
    losses=dict(loss_cosine=dict(type='CosineLoss', loss_weight=1.0)),
)
