# DIST (arXiv 2205.10536) beside the squared distance of the five levels of the
# FPN, the student's after a trained 1x1 convolution: what its authors call
# DIST + mimic, with the weights of their COCO config.

distill = dict(
    type='DistillHook',
    losses=dict(
        loss_dist=dict(
            type='DISTLoss', beta=1.0, gamma=1.0, tau=1.0, loss_weight=1.0
        ),
        loss_fitnet=dict(
            type='FitNetLoss',
            student_channels=[256] * 5,
            teacher_channels=[256] * 5,
            loss_weight=1.0,
        ),
    ),
)
