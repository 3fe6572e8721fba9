# ResNet-50 of mmpretrain's model zoo: 76.55 top-1 accuracy on ImageNet-1k.
#
# The one of the plain 100-epoch recipe, near to torchvision's 76.13, from
# which the papers teach, not one of the stronger recipes of the same zoo.

teacher = dict(
    config='mmpretrain::resnet/resnet50_8xb32_in1k.py',
    checkpoint='https://download.openmmlab.com/mmclassification/v0/resnet/'
    'resnet50_8xb32_in1k_20210831-ea4938fc.pth',
)
