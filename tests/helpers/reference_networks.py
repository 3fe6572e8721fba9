"""The networks of the published CIFAR-100 weights, as functions.

They are written from the public descriptions of the RepDistiller family, by
the names that its files give to the weights, and know nothing of the classes
in `mmkd_plugin.models`.  Run on empty `Weights`, a network makes random ones:
the same lines say which names and shapes a file holds, and what is computed
with them.
"""

from functools import partial

import torch
import torch.nn.functional as F


class Weights(dict):
    """Names to tensors; a missing one is made up where it is used."""

    def conv(self, name, x, channels, kernel=1, stride=1, groups=1):
        """A convolution without bias that keeps the size at stride 1."""
        shape = (channels, x.shape[1] // groups, kernel, kernel)
        bound = (6 / (shape[1] * kernel**2)) ** 0.5
        weight = self._uniform(f'{name}.weight', shape, -bound, bound)
        return F.conv2d(x, weight, None, stride, kernel // 2, groups=groups)

    def bias(self, name, x):
        bias = self._uniform(f'{name}.bias', x.shape[1], -1, 1)
        return x + bias[:, None, None]

    def bn(self, name, x):
        channels = x.shape[1]
        self.setdefault(f'{name}.num_batches_tracked', torch.tensor(7))
        return F.batch_norm(
            x,
            self._uniform(f'{name}.running_mean', channels, -0.5, 0.5),
            self._uniform(f'{name}.running_var', channels, 0.5, 1.5),
            self._uniform(f'{name}.weight', channels, 0.5, 1.5),
            self._uniform(f'{name}.bias', channels, -0.5, 0.5),
        )

    def conv_bn(self, prefix, index, x, *args, **kwargs):
        x = self.conv(f'{prefix}conv{index}', x, *args, **kwargs)
        return self.bn(f'{prefix}bn{index}', x)

    def classify(self, name, x):
        """Average over the image, then 100 logits."""
        x = x.mean((2, 3))
        bound = (3 / x.shape[1]) ** 0.5
        return F.linear(
            x,
            self._uniform(f'{name}.weight', (100, x.shape[1]), -bound, bound),
            self._uniform(f'{name}.bias', 100, -1, 1),
        )

    def _uniform(self, name, shape, low, high):
        if name not in self:
            self[name] = torch.empty(shape).uniform_(low, high)
        return self[name]


def resnet(w, x, depth, channels):
    x = F.relu(w.conv_bn('', 1, x, channels[0], 3))
    for stage in (1, 2, 3):
        width = channels[stage]
        for block in range((depth - 2) // 6):
            name = f'layer{stage}.{block}.'
            stride = 2 if stage > 1 and block == 0 else 1
            out = F.relu(w.conv_bn(name, 1, x, width, 3, stride))
            out = w.conv_bn(name, 2, out, width, 3)
            if out.shape != x.shape:
                x = w.conv(f'{name}downsample.0', x, width, 1, stride)
                x = w.bn(f'{name}downsample.1', x)
            x = F.relu(out + x)
    return w.classify('fc', x)


def resnet50(w, x):
    x = F.relu(w.conv_bn('', 1, x, 64, 3))
    for stage, blocks in enumerate((3, 4, 6, 3)):
        width = 64 * 2**stage
        for block in range(blocks):
            name = f'layer{stage + 1}.{block}.'
            stride = 2 if stage > 0 and block == 0 else 1
            out = F.relu(w.conv_bn(name, 1, x, width))
            out = F.relu(w.conv_bn(name, 2, out, width, 3, stride))
            out = w.conv_bn(name, 3, out, 4 * width)
            if block == 0:
                x = w.conv(f'{name}shortcut.0', x, 4 * width, 1, stride)
                x = w.bn(f'{name}shortcut.1', x)
            x = F.relu(out + x)
    return w.classify('linear', x)


def wide_resnet(w, x, depth, widen_factor):
    x = w.conv('conv1', x, 16, 3)
    for stage in (1, 2, 3):
        width = 8 * 2**stage * widen_factor
        for block in range((depth - 4) // 6):
            name = f'block{stage}.layer.{block}.'
            stride = 2 if stage > 1 and block == 0 else 1
            active = F.relu(w.bn(f'{name}bn1', x))
            out = w.conv(f'{name}conv1', active, width, 3, stride)
            out = F.relu(w.bn(f'{name}bn2', out))
            out = w.conv(f'{name}conv2', out, width, 3)
            if x.shape[1] != width:
                x = w.conv(f'{name}convShortcut', active, width, 1, stride)
            x = x + out
    return w.classify('fc', F.relu(w.bn('bn1', x)))


def vgg(w, x, convolutions):
    for block, width in enumerate((64, 128, 256, 512, 512)):
        if block in (1, 2, 3):
            x = F.max_pool2d(x, 2)
        for index in range(convolutions):
            # Convolution, batch norm, ReLU: three numbers each.
            name = f'block{block}.{3 * index}'
            x = w.bias(name, w.conv(name, x, width, 3))
            x = F.relu(w.bn(f'block{block}.{3 * index + 1}', x))
    return w.classify('classifier', x)


def mobilenet_v2(w, x):
    x = F.relu(w.bn('conv1.1', w.conv('conv1.0', x, 16, 3, 2)))
    widths = (8, 12, 16, 32, 48, 80, 160)
    for stage, blocks in enumerate((1, 2, 3, 4, 3, 3, 1)):
        for block in range(blocks):
            name = f'blocks.{stage}.{block}.conv'
            stride = 2 if stage in (2, 3, 5) and block == 0 else 1
            hidden = x.shape[1] * (6 if stage else 1)
            out = w.conv(f'{name}.0', x, hidden)
            out = F.relu(w.bn(f'{name}.1', out))
            out = w.conv(f'{name}.3', out, hidden, 3, stride, hidden)
            out = F.relu(w.bn(f'{name}.4', out))
            out = w.conv(f'{name}.6', out, widths[stage])
            out = w.bn(f'{name}.7', out)
            x = out + x if out.shape == x.shape else out
    x = F.relu(w.bn('conv2.1', w.conv('conv2.0', x, 1280)))
    return w.classify('classifier.0', x)


def shuffle(x, groups):
    n, channels, *size = x.shape
    x = x.reshape(n, groups, channels // groups, *size)
    return x.transpose(1, 2).reshape(n, channels, *size)


def shufflenet_v1(w, x):
    x = F.relu(w.conv_bn('', 1, x, 24))
    for stage, units in ((1, 4), (2, 8), (3, 4)):
        for unit in range(units):
            name = f'layer{stage}.{unit}.'
            groups = 1 if (stage, unit) == (1, 0) else 3
            width = 120 * 2**stage - (x.shape[1] if unit == 0 else 0)
            hidden, stride = width // 4, 2 if unit == 0 else 1
            out = F.relu(w.conv_bn(name, 1, x, hidden, groups=groups))
            out = shuffle(out, groups)
            out = w.conv_bn(name, 2, out, hidden, 3, stride, hidden)
            out = w.conv_bn(name, 3, F.relu(out), width, groups=3)
            if unit == 0:
                out = torch.cat([out, F.avg_pool2d(x, 3, 2, 1)], 1)
            else:
                out = out + x
            x = F.relu(out)
    return w.classify('linear', x)


def shufflenet_v2(w, x):
    x = F.relu(w.conv_bn('', 1, x, 24))
    for stage, units in ((1, 4), (2, 8), (3, 4)):
        half = 29 * 2**stage
        for unit in range(units):
            name = f'layer{stage}.{unit}.'
            if unit == 0:
                width = x.shape[1]
                left = w.conv_bn(name, 1, x, width, 3, 2, width)
                left = F.relu(w.conv_bn(name, 2, left, half))
                right = F.relu(w.conv_bn(name, 3, x, half))
                right = w.conv_bn(name, 4, right, half, 3, 2, half)
                right = F.relu(w.conv_bn(name, 5, right, half))
            else:
                left, right = x[:, :half], x[:, half:]
                right = F.relu(w.conv_bn(name, 1, right, half))
                right = w.conv_bn(name, 2, right, half, 3, 1, half)
                right = F.relu(w.conv_bn(name, 3, right, half))
            x = shuffle(torch.cat([left, right], 1), 2)
    x = F.relu(w.conv_bn('', 2, x, 1024))
    return w.classify('linear', x)


def mobilenet_v1(w, x):
    """The features only; the names are those of the ImageNet network."""
    x = F.relu(w.bn('model.0.1', w.conv('model.0.0', x, 32, 3, 2)))
    widths = (64, 128, 128, 256, 256, *(512,) * 6, 1024, 1024)
    for index, width in enumerate(widths, start=1):
        name, hidden = f'model.{index}', x.shape[1]
        stride = 2 if index in (2, 4, 6, 12) else 1
        x = w.conv(f'{name}.0', x, hidden, 3, stride, hidden)
        x = F.relu(w.bn(f'{name}.1', x))
        x = F.relu(w.bn(f'{name}.4', w.conv(f'{name}.3', x, width)))
    return x


NARROW, WIDE = (16, 16, 32, 64), (32, 64, 128, 256)
NETWORKS = {
    'resnet20': partial(resnet, depth=20, channels=NARROW),
    'resnet32': partial(resnet, depth=32, channels=NARROW),
    'resnet56': partial(resnet, depth=56, channels=NARROW),
    'resnet110': partial(resnet, depth=110, channels=NARROW),
    'resnet8x4': partial(resnet, depth=8, channels=WIDE),
    'resnet32x4': partial(resnet, depth=32, channels=WIDE),
    'wrn_16_2': partial(wide_resnet, depth=16, widen_factor=2),
    'wrn_40_1': partial(wide_resnet, depth=40, widen_factor=1),
    'wrn_40_2': partial(wide_resnet, depth=40, widen_factor=2),
    'vgg8': partial(vgg, convolutions=1),
    'vgg13': partial(vgg, convolutions=2),
    'mobilenetv2': mobilenet_v2,
    'shufflev1': shufflenet_v1,
    'shufflev2': shufflenet_v2,
    'resnet50': resnet50,
}
# With 100 classes.
PARAMETERS = {
    'resnet20': 278_324,
    'resnet32': 472_756,
    'resnet56': 861_620,
    'resnet110': 1_736_564,
    'resnet8x4': 1_233_540,
    'resnet32x4': 7_433_860,
    'wrn_16_2': 703_284,
    'wrn_40_1': 569_780,
    'wrn_40_2': 2_255_156,
    'vgg8': 3_965_028,
    'vgg13': 9_462_180,
    'mobilenetv2': 812_836,
    'shufflev1': 949_258,
    'shufflev2': 1_355_528,
    'resnet50': 23_705_252,
}
