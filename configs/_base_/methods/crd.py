# CRD, contrastive representation distillation (arXiv 1910.10699), with the
# settings of its CIFAR-100 experiments, one for all pairs.

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
            student_channels='auto',
            teacher_channels='auto',
        )
    ),
)
