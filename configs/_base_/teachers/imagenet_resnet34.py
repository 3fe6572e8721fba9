# ResNet-34 of mmpretrain's model zoo: 73.62 top-1 accuracy on ImageNet-1k.

teacher = dict(
    config='mmpretrain::resnet/resnet34_8xb32_in1k.py',
    checkpoint='https://download.openmmlab.com/mmclassification/v0/resnet/'
    'resnet34_8xb32_in1k_20210831-f257d4e6.pth',
)
