"""Start OpenMMLab's MobileNetV2 from torchvision's ImageNet weights."""

import re

from mmengine.logging import print_log
from mmengine.model import update_init_info
from mmengine.registry import WEIGHT_INITIALIZERS
from mmengine.runner.checkpoint import CheckpointLoader

from ..exceptions import MMKDValueError

# torchvision's names of the layers of a feature -> OpenMMLab's names.
STEM_NAMES = {'0': 'conv', '1': 'bn'}
EXPANDED_BLOCK_NAMES = {
    'conv.0.0': 'expand_conv.conv',
    'conv.0.1': 'expand_conv.bn',
    'conv.1.0': 'depthwise_conv.conv',
    'conv.1.1': 'depthwise_conv.bn',
    'conv.2': 'linear_conv.conv',
    'conv.3': 'linear_conv.bn',
}
FIRST_BLOCK_NAMES = {
    'conv.0.0': 'depthwise_conv.conv',
    'conv.0.1': 'depthwise_conv.bn',
    'conv.1': 'linear_conv.conv',
    'conv.2': 'linear_conv.bn',
}
BLOCKS_PER_STAGE = (1, 2, 3, 4, 3, 3, 1)


def _feature_names():
    """One (name, layer names) pair for each of torchvision's 19 features."""
    blocks = [
        (f'layer{stage}.{block}', EXPANDED_BLOCK_NAMES)
        for stage, depth in enumerate(BLOCKS_PER_STAGE, start=1)
        for block in range(depth)
    ]
    blocks[0] = (blocks[0][0], FIRST_BLOCK_NAMES)
    return [('conv1', STEM_NAMES), *blocks, ('conv2', STEM_NAMES)]


def rename_mobilenet_v2(state_dict):
    """Rename torchvision's MobileNetV2 weights as OpenMMLab names them.

    Args:
        state_dict (dict): State dict of ``torchvision.models.mobilenet_v2``.

    Returns:
        dict: The same tensors under the names of the ``MobileNetV2`` of mmdet
        and mmpretrain. Anything but a known layer of ``features``, such as
        the classifier, is left out.
    """
    names = _feature_names()
    renamed = {}
    for key, value in state_dict.items():
        match = re.fullmatch(r'features\.(\d+)\.(.+)\.(\w+)', key)
        if match is None or int(match[1]) >= len(names):
            continue
        module, layers = names[int(match[1])]
        if match[2] in layers:
            renamed[f'{module}.{layers[match[2]]}.{match[3]}'] = value
    return renamed


@WEIGHT_INITIALIZERS.register_module()
class TorchvisionMobileNetV2Init:
    """Load torchvision's MobileNetV2 weights into OpenMMLab's MobileNetV2.

    The two name their layers differently, so MMEngine's ``Pretrained``, which
    is not strict, would load nothing and only warn. This initializer renames
    the weights and refuses a file that does not fill the backbone.

    Args:
        checkpoint (str): ``'torchvision://mobilenet_v2'``, a URL or the path
            of a file that torchvision saved.

    Raises:
        ValueError: If a weight of the backbone is missing from the checkpoint
            or has another shape.

    Example:
        >>> from mmengine.registry import WEIGHT_INITIALIZERS
        >>> init = WEIGHT_INITIALIZERS.build(
        ...     dict(
        ...         type='TorchvisionMobileNetV2Init',
        ...         checkpoint='torchvision://mobilenet_v2'))
    """

    def __init__(self, checkpoint):
        self.checkpoint = checkpoint

    def __call__(self, module):
        print_log(f'load model from: {self.checkpoint}', logger='current')
        weights = rename_mobilenet_v2(
            CheckpointLoader.load_checkpoint(
                self.checkpoint, map_location='cpu'
            )
        )
        try:
            module.load_state_dict(weights, strict=True)
        except RuntimeError as error:
            raise MMKDValueError(
                'Expected `checkpoint` to hold the weights of a torchvision '
                f'mobilenet_v2 that fit this {type(module).__name__}, but got '
                f'{self.checkpoint!r}, which does not: {error}'
            ) from error
        # MMEngine would initialise the children again, unless they are marked
        # as initialised.
        for child in module.children():
            child.is_init = True
        if hasattr(module, '_params_init_info'):
            update_init_info(
                module, f'{type(self).__name__}: load from {self.checkpoint}'
            )
