# WKD-L (arXiv 2412.08139) with the numbers of the authors' CIFAR-100 configs,
# from copies of their code: those for ResNet-32x4 to ResNet-8x4, and another
# pair below. There the distances are 1 - CKA of the classes' features; here
# they are from the teacher's classifier, the other option of that code. There
# `gamma` falls to 0 along a cosine after epoch 150; here it is constant.

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
