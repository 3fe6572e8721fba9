# REVISION with the settings of its CIFAR-100 configs in the code of RLD (arXiv
# 2408.07703). The loss contains the cross entropy, for images that the teacher
# gets right, so the student's own is off.

distill = dict(
    type='DistillHook',
    losses=dict(loss_revision=dict(type='REVISIONLoss', alpha=4.0, beta=0.8)),
    task_loss=False,
)
