from .cifar_mobilenet_v2 import CIFARMobileNetV2
from .cifar_resnet import CIFARResNet
from .cifar_vgg import CIFARVGG
from .torchvision_mobilenet_v2_init import TorchvisionMobileNetV2Init

__all__ = [
    'CIFARMobileNetV2',
    'CIFARResNet',
    'CIFARVGG',
    'TorchvisionMobileNetV2Init',
]
