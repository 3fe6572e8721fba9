from .torchvision_mobilenet_v2_init import TorchvisionMobileNetV2Init

__all__ = ['TorchvisionMobileNetV2Init']
