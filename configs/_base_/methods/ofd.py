# Overhaul of feature distillation (arXiv 1904.01866) with the weight that
# comparisons of methods on CIFAR-100 use for all pairs; it is small because
# the loss is a sum over places. MobileNetV2 cannot be a student: its stages
# have no ReLU. The cross entropy has a weight of 1.

distill = dict(
    type='DistillHook',
    losses=dict(
        loss_ofd=dict(
            type='OFDLoss',
            student_channels='auto',
            teacher_channels='auto',
            loss_weight=0.001,
        )
    ),
)
