teacher = dict(
    config='{{ fileDirname }}/../../cifar100/resnet50.py',
    checkpoint='checkpoints/cifar100/resnet50.pth',
)
