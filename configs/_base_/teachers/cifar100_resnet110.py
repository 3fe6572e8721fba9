teacher = dict(
    config='{{ fileDirname }}/../../cifar100/resnet110.py',
    checkpoint='checkpoints/cifar100/resnet110.pth',
)
