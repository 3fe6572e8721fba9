# Decoupled Knowledge Distillation (arXiv 2203.08679) with the settings of its
# CIFAR-100 experiments. `beta` is 8 for ResNet-32x4 and ResNet-50 as teachers;
# the configs of other teachers change it.

distill = dict(
    type='DistillHook',
    losses=dict(loss_dkd=dict(type='DKDLoss', alpha=1.0, beta=8.0, tau=4.0)),
    warmup=20,
)
