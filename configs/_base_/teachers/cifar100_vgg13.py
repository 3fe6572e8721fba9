teacher = dict(
    config='{{ fileDirname }}/../../cifar100/vgg13.py',
    checkpoint='checkpoints/cifar100/vgg13.pth',
)
