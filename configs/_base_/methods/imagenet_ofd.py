# Overhaul of feature distillation (arXiv 1904.01866) with its authors' weight
# for ResNet-50 and MobileNetV1 on ImageNet; it is small because the loss is a
# sum over places. The cross entropy has a weight of 1.

distill = dict(
    type='DistillHook',
    losses=dict(
        loss_ofd=dict(
            type='OFDLoss',
            student_channels='auto',
            teacher_channels='auto',
            loss_weight=0.0001,
        )
    ),
)
