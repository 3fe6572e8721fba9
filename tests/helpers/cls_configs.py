"""What the tests of the configs for classification share."""

import copy
import functools
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from mmkd_plugin.cli.method_option import use_method

CONFIGS = Path(__file__).parents[2] / 'configs'
METHODS = ('rld', 'ckd', 'kd', 'dkd')

# Name -> parameters.
CIFAR = dict(
    resnet20=278_324,
    resnet32=472_756,
    resnet56=861_620,
    resnet110=1_736_564,
    resnet8x4=1_233_540,
    resnet32x4=7_433_860,
    wrn_16_2=703_284,
    wrn_40_1=569_780,
    wrn_40_2=2_255_156,
    vgg8=3_965_028,
    vgg13=9_462_180,
    mobilenetv2=812_836,
    shufflev1=949_258,
    shufflev2=1_355_528,
    resnet50=23_705_252,
)
IMAGENET = dict(resnet18=11_689_512, mobilenetv1=4_231_976)
SLOW = {'mobilenetv2', 'shufflev1', 'shufflev2'}  # learn at 0.01, not 0.05

# Teacher and student of the pairs of RLD -> beta of DKD.
RLD = {
    'resnet56_resnet20': 2.0,
    'resnet110_resnet20': 2.0,
    'resnet110_resnet32': 2.0,
    'resnet32x4_resnet8x4': 8.0,
    'vgg13_vgg8': 6.0,
    'wrn_40_2_wrn_16_2': 6.0,
    'wrn_40_2_wrn_40_1': 6.0,
    'resnet32x4_shufflev2': 8.0,
    'resnet32x4_wrn_16_2': 8.0,
    'resnet32x4_wrn_40_2': 8.0,
    'wrn_40_2_resnet8x4': 6.0,
    'wrn_40_2_mobilenetv2': 6.0,
    'vgg13_mobilenetv2': 6.0,
    'resnet50_mobilenetv2': 8.0,
}
# Those of CKD -> weight, temperature, batch size.
CKD = {
    'resnet110_resnet32': (10, 1, 64),
    'resnet56_resnet20': (10, 1, 64),
    'resnet32x4_resnet8x4': (100, 1, 64),
    'vgg13_vgg8': (100, 1, 64),
    'wrn_40_2_wrn_16_2': (100, 1, 64),
    'wrn_40_2_wrn_40_1': (50, 2, 32),
    'resnet32x4_shufflev1': (100, 1, 32),
    'wrn_40_2_shufflev1': (100, 1, 32),
    'resnet50_mobilenetv2': (100, 1, 32),
    'resnet32x4_shufflev2': (100, 1, 64),
    'vgg13_mobilenetv2': (50, 2, 32),
}
# Those on ImageNet -> beta of RLD and DKD.
LARGE = {'resnet34_resnet18': 0.5, 'resnet50_mobilenetv1': 2.0}

ALONE = [
    *(f'cifar100/{name}' for name in CIFAR),
    *(f'imagenet/{name}' for name in IMAGENET),
]
# Those whose settings are published.
PUBLISHED = [
    *(f'cifar100/{pair}_{m}' for pair in RLD for m in ('rld', 'kd', 'dkd')),
    *(f'cifar100/{pair}_ckd' for pair in CKD),
    *(f'imagenet/{pair}_{method}' for pair in LARGE for method in METHODS),
]
# What tools/sweep/plans/cifar100_short.py needs beside these.
SHORT = [
    'cifar100/resnet56_8e',
    'cifar100/vgg13_6e',
]
FOUND = sorted(
    f'{folder}/{path.stem}'
    for folder in ('cifar100', 'imagenet')
    for path in CONFIGS.joinpath(folder).glob('*.py')
)
PAIRS = [name for name in FOUND if name not in (*ALONE, *SHORT)]
DISTILLED = [*PUBLISHED, 'cifar100/resnet56_resnet20_ckd_240e']


@functools.cache
def read(name):
    """A config; a pair by its method, as cifar100/resnet56_resnet20_kd."""
    path, method = CONFIGS / f'{name}.py', None
    if not path.is_file():
        folder, teacher, student, method = split(name)
        path = CONFIGS / folder / f'{teacher}_{student}.py'
    cfg = Config.fromfile(path)
    if method:
        use_method(cfg, method)
    return cfg


def split(name):
    """Folder, teacher, student and method in the name of a config."""
    folder, stem = name.split('/')
    for pair in {**RLD, **CKD, **LARGE}:
        if stem.startswith(f'{pair}_'):
            break
    else:
        raise ValueError(name)
    (student,) = (
        student
        for student in (*CIFAR, *IMAGENET)
        if pair.endswith(f'_{student}')
    )
    teacher = pair.removesuffix(f'_{student}')
    return folder, teacher, student, stem.removeprefix(f'{pair}_')


_BUILT = {}


def build(cfg):
    """The model of a config, as MMEngine's runner completes it.

    Equal ones are built once.
    """
    model = dict(cfg.model, data_preprocessor=cfg.data_preprocessor)
    if repr(model) not in _BUILT:
        init_default_scope('mmpretrain')
        _BUILT[repr(model)] = MODELS.build(copy.deepcopy(model))
    return _BUILT[repr(model)]
