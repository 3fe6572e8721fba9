# Multi-level logit distillation (CVPR 2023) with one view, as in the code of
# RLD (arXiv 2408.07703) for CIFAR-100, MLKD_NOAUG there: 0.1 of the cross
# entropy, and 0.9 of three terms at five temperatures, halved, as by a mask in
# the released code.

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
