# Function matching (arXiv 2106.05237): the student should become the same
# function as the teacher, on mixed images, without labels. tau is that for
# ImageNet. Each batch is mixed with a ratio drawn uniformly; the teacher sees
# the same mixed images.

distill = dict(
    type='DistillHook',
    losses=dict(loss_kd=dict(type='KDLoss', tau=1.0)),
    task_loss=False,
)

model = dict(train_cfg=dict(augments=dict(type='Mixup', alpha=1.0)))
