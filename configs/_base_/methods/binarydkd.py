# DKD (arXiv 2203.08679) for sigmoids, the heads of one-stage detectors. No
# paper has it: alpha, beta and the temperature are those of dkd.py, not tuned
# for it.

distill = dict(
    type='DistillHook',
    losses=dict(
        loss_binarydkd=dict(
            type='BinaryDKDLoss', alpha=1.0, beta=0.25, tau=1.0
        ),
    ),
)
