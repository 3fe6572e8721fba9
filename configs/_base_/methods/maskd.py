# MasKD, masked distillation with receptive tokens (arXiv 2205.14589), with the
# numbers of its authors' config for Faster R-CNN R101 -> R50. Channels are
# those of an FPN with its five levels, of both models. Give the file of the
# teacher's tokens, see docs/methods/maskd.md.

distill = dict(
    type='DistillHook',
    losses=dict(
        loss_maskd=dict(
            type='MasKDLoss',
            tokens='tokens.pth',
            num_tokens=6,
            warmup=7330,
            student_channels=[256] * 5,
            teacher_channels=[256] * 5,
            loss_weight=1.0,
        )
    ),
)
