teacher = dict(
    config='{{ fileDirname }}/../../cifar100/resnet56.py',
    checkpoint='checkpoints/cifar100/resnet56.pth',
)
