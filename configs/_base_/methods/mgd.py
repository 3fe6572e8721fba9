# MGD, masked generative distillation (arXiv 2205.01529), with the numbers of
# its authors' configs for Faster and Mask R-CNN. Channels are those of p2 to
# p5 of an FPN, of both models.

distill = dict(
    type='DistillHook',
    losses=dict(
        loss_mgd=dict(
            type='MGDLoss',
            mask_ratio=0.45,
            loss_weight=5e-7,
            teacher_channels=[256] * 4,
        )
    ),
)
