# CTKD, curriculum temperature (arXiv 2211.16231), on KD with its authors'
# settings for CIFAR-100: 0.1 of the cross entropy and 0.9 of the term. The
# gradient of the temperature is reversed over 10 epochs, of 782 steps of 64
# images. Unlike there, the temperature has no weight decay.

distill = dict(
    type='DistillHook',
    losses=dict(
        loss_ctkd=dict(type='CTKDLoss', warmup_steps=7820, loss_weight=0.9)
    ),
)

model = dict(head=dict(loss=dict(loss_weight=0.1)))
