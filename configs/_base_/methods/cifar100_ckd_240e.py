# CKD (arXiv 2404.14109) on CIFAR-100 in the batches and schedule of the other
# methods, to compare it with them.

distill = dict(type='CKDHook', tau=1.0, loss_weight=100.0)

pairs = dict(
    resnet56_resnet20=dict(distill=dict(loss_weight=10.0)),
    resnet110_resnet32=dict(distill=dict(loss_weight=10.0)),
    vgg13_mobilenetv2=dict(distill=dict(tau=2.0, loss_weight=50.0)),
    wrn_40_2_wrn_40_1=dict(distill=dict(tau=2.0, loss_weight=50.0)),
)
