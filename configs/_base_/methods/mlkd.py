# Multi-level logit distillation (CVPR 2023) of one view, as the code of RLD
# (arXiv 2408.07703) compares with it on CIFAR-100 as MLKD_NOAUG: 0.1 of the
# cross entropy, and 0.9 of three terms at five temperatures, which a mask in
# the released code halves.

distill = dict(
    type='DistillHook',
    losses=dict(
        loss_mlkd=dict(
            type='MLKDLoss',
            taus=[2.0, 3.0, 4.0, 5.0, 6.0],
            loss_weight=0.45,
        )
    ),
)

model = dict(head=dict(loss=dict(loss_weight=0.1)))
