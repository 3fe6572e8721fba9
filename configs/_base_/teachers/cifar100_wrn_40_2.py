teacher = dict(
    config='{{ fileDirname }}/../../cifar100/wrn_40_2.py',
    checkpoint='checkpoints/cifar100/wrn_40_2.pth',
)
