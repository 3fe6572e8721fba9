# CKD and RLD together, each with its settings for detection.

distill = dict(
    type='DistillHook',
    losses=dict(
        loss_ckd=dict(type='CKDLoss', tau=1.0, loss_weight=10.0),
        loss_rld=dict(
            type='RLDLoss', alpha=1.0, beta=0.25, tau_scd=1.0, tau_mcd=1.0
        ),
    ),
)
