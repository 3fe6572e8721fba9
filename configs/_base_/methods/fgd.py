# FGD, focal and global distillation (arXiv 2111.11837), with the numbers of
# its authors' configs for Faster and Mask R-CNN. Channels are those of p2 to
# p5 of an FPN, of both models.

distill = dict(
    type='DistillHook',
    losses=dict(
        loss_fgd=dict(
            type='FGDLoss',
            alpha=5e-5,
            beta=2.5e-5,
            gamma=5e-5,
            lambda_=5e-7,
            tau=0.5,
            teacher_channels=[256] * 4,
        )
    ),
)
