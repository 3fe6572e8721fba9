# CRD, contrastive representation distillation (arXiv 1910.10699), with the
# settings of its CIFAR-100 experiments, one for all pairs. The channels are
# those of the pooled vectors of ResNet-8x4 and ResNet-32x4.

distill = dict(
    type='DistillHook',
    losses=dict(
        loss_crd=dict(
            type='CRDLoss',
            dim=128,
            negatives=16384,
            tau=0.07,
            momentum=0.5,
            num_samples=50000,
            loss_weight=0.8,
            student_channels=[256],
            teacher_channels=[256],
        )
    ),
)
