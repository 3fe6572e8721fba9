# WKD-L (arXiv 2412.08139) with the numbers of the authors' CIFAR-100 configs,
# as they stand in copies of their code: this of ResNet-32x4 to ResNet-8x4, and
# another pair below. There the distances are 1 - CKA of the classes' features,
# here those of the teacher's classifier, which the same code has as a second
# choice; and there `gamma` goes down to 0 by a cosine after epoch 150.

distill = dict(
    type='DistillHook',
    losses=dict(
        loss_wkdl=dict(
            type='WKDLLoss',
            gamma=600.0,
            tau=8.0,
            reg=0.05,
            iterations=10,
            sharpness=1.0,
        )
    ),
)

pairs = dict(
    wrn_40_2_shufflev1=dict(
        distill=dict(losses=dict(loss_wkdl=dict(gamma=200.0, tau=6.0)))
    )
)
