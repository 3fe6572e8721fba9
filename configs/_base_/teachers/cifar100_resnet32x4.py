teacher = dict(
    config='{{ fileDirname }}/../../cifar100/resnet32x4.py',
    checkpoint='checkpoints/cifar100/resnet32x4.pth',
)
