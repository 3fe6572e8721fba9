# Overhaul of feature distillation (arXiv 1904.01866) with the weight that
# comparisons of methods on CIFAR-100 have for all pairs, of a sum over places.
# The channels are those of the stages of ResNet-8x4 and ResNet-32x4. The cross
# entropy has a weight of 1.

distill = dict(
    type='DistillHook',
    losses=dict(
        loss_ofd=dict(
            type='OFDLoss',
            student_channels=[64, 128, 256],
            teacher_channels=[64, 128, 256],
            loss_weight=0.001,
        )
    ),
)
