# Binary KD of an RPN: objectness of the anchors that the student samples, and
# L1 distance of the deltas of the positive ones, as in the released code of
# ALDI (arXiv 2403.12029), which adapts detectors to another domain. Both terms
# are divided by the number of sampled anchors, as MMDetection divides its own
# losses of an RPN. We know of no published figure for these terms alone.

distill = dict(
    type='DistillHook',
    losses=dict(
        loss_binarykd=dict(type='BinaryKDLoss', tau=1.0, loss_weight=1.0),
        loss_rpn_box=dict(
            type='BoxL1Loss', loss_weight=1.0, tap=dict(type='RPNBoxTap')
        ),
    ),
)
