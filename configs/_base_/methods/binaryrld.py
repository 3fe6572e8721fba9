# RLD (arXiv 2408.07703) for sigmoids, the heads of one-stage detectors. No
# paper has it: alpha, beta and the temperatures are those of rld.py, not tuned
# for it.

distill = dict(
    type='DistillHook',
    losses=dict(
        loss_binaryrld=dict(
            type='BinaryRLDLoss',
            alpha=1.0,
            beta=0.25,
            tau_scd=1.0,
            tau_mcd=1.0,
        ),
    ),
)
