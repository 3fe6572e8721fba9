import pytest
import torch
from mmengine.registry import init_default_scope

from mmkd_plugin.models import TorchvisionMobileNetV2Init

pytest.importorskip('mmdet')
torchvision = pytest.importorskip('torchvision')

# Where torchvision's `features` have the output of mmdet's stages
# (1, 2, 4, 7): the last feature before each change of stride, and the last.
FEATURES = (3, 6, 13, 18)


def random_torchvision_model():
    """A mobilenet_v2 whose batch norms are not identities."""
    torch.manual_seed(0)
    model = torchvision.models.mobilenet_v2(weights=None)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(std=0.1)
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    return model.eval()


def build_backbone(checkpoint, **kwargs):
    from mmdet.registry import MODELS

    init_default_scope('mmdet')
    return MODELS.build(
        dict(
            type='MobileNetV2',
            out_indices=(1, 2, 4, 7),
            init_cfg=dict(
                type='TorchvisionMobileNetV2Init', checkpoint=checkpoint
            ),
            **kwargs,
        )
    )


@pytest.fixture(scope='module')
def source():
    return random_torchvision_model()


def save(tmp_path, state_dict):
    path = tmp_path / 'mobilenet_v2.pth'
    torch.save(state_dict, path)
    return str(path)


def test_features_equal_torchvision(tmp_path, source):
    backbone = build_backbone(save(tmp_path, source.state_dict()))
    backbone.init_weights()
    backbone.eval()

    images = torch.randn(2, 3, 96, 64)
    expected = []
    x = images
    with torch.no_grad():
        for i, feature in enumerate(source.features):
            x = feature(x)
            if i in FEATURES:
                expected.append(x)
        got = backbone(images)

    assert [out.shape[1] for out in got] == [24, 32, 96, 1280]
    for out, reference in zip(got, expected, strict=True):
        assert torch.equal(out, reference)


def test_detector_keeps_the_weights(tmp_path, source):
    """`init_weights` of a whole model does not initialise them again."""
    from mmengine.model import BaseModule

    backbone = build_backbone(save(tmp_path, source.state_dict()))

    class Detector(BaseModule):
        def __init__(self):
            super().__init__()
            self.backbone = backbone

    Detector().init_weights()
    weight = source.features[0][0].weight
    assert torch.equal(backbone.conv1.conv.weight, weight)
    weight = source.features[18][0].weight
    assert torch.equal(backbone.conv2.conv.weight, weight)


def test_missing_weight_is_refused(tmp_path, source):
    state_dict = source.state_dict()
    del state_dict['features.7.conv.1.0.weight']
    backbone = build_backbone(save(tmp_path, state_dict))
    with pytest.raises(ValueError, match='layer4.0.depthwise_conv.conv'):
        backbone.init_weights()


def test_other_width_is_refused(tmp_path, source):
    backbone = build_backbone(
        save(tmp_path, source.state_dict()), widen_factor=0.5
    )
    with pytest.raises(ValueError, match='size mismatch'):
        backbone.init_weights()


def test_other_model_is_refused(tmp_path):
    path = save(tmp_path, torchvision.models.resnet18().state_dict())
    with pytest.raises(ValueError, match='mobilenet_v2'):
        build_backbone(path).init_weights()


def test_classifier_is_left_out(source):
    from mmkd_plugin.models.torchvision_mobilenet_v2_init import (
        rename_mobilenet_v2,
    )

    renamed = rename_mobilenet_v2(source.state_dict())
    assert len(renamed) == len(source.features.state_dict())
    assert TorchvisionMobileNetV2Init('x').checkpoint == 'x'
