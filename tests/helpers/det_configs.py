"""What the tests of the configs for detection share."""

import copy
import functools
import pkgutil
import re
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from mmkd_plugin import losses

mmdet = pytest.importorskip('mmdet')

CONFIGS = Path(__file__).parents[2] / 'configs'
COCO = sorted(CONFIGS.glob('*.py'))
TWO_STAGE = [
    path
    for path in COCO
    if path.stem.startswith(('frcnn_', 'mask_rcnn_', 'cascade-rcnn_'))
]
SMALL = sorted([*CONFIGS.glob('bccd/*.py'), *CONFIGS.glob('neu/*.py')])
# The module of a loss, its fragment in configs/_base_/methods/ and its page in
# docs/methods/ have the name of the method.
METHODS = sorted(
    module.name
    for module in pkgutil.iter_modules(losses.__path__)
    if not module.ispkg
)
# Ends of names that do not list the losses themselves, with the family where
# they differ by it.
RECIPES = dict(
    bckd=['bckd', 'boxiou'],
    crosskd=['kd', 'box'],
    fcos_crosskd=['bckd', 'boxiou'],
    gfl_crosskd=['bckd', 'ld'],
    retinanet_crosskd=['bckd', 'boxiou'],
    detrdistill=['binarykd', 'box', 'boxiou'],
    reviewckd=['ckd', 'reviewkd'],
    reviewdkd=['dkd', 'reviewkd'],
    **{'deformable-detr_crosskd': ['binarykd', 'box']},
)
NAME = re.compile(
    r'(?P<family>frcnn|mask_rcnn|cascade-rcnn|retinanet|gfl|fcos|rtmdet'
    r'|deformable-detr)'
    r'(?:_(?P<teacher>[a-z0-9-]+))?'
    r'_(?P<student>r\d+(?:w\d+)?|mv2|s)'
    r'(?:_(?P<setting>2x|ms|ms-2x))?'
)


def end_of(stem):
    """What the name of a config says of its losses: '', 'ckd_rld', ..."""
    words = {*METHODS, *(name.split('_')[-1] for name in RECIPES)}
    return re.search(rf'(_({"|".join(words)}))*$', stem)[0].strip('_')


def methods_of(stem):
    """The methods that the name of a config stands for, in their order."""
    end = end_of(stem)
    for recipe in (f'{stem.split("_")[0]}_{end}', end):
        if recipe in RECIPES:
            return RECIPES[recipe]
    return re.findall('[^_]+', end)


def parts_of(stem):
    """The match of :data:`NAME` in the name of a config."""
    return NAME.fullmatch(stem.removesuffix(f'_{end_of(stem)}'))


def student_of(path):
    """The config that trains the student of another one alone."""
    base = path.parent / re.search(r"'\./([^']+\.py)'", path.read_text())[1]
    return student_of(base) if methods_of(base.stem) else base


@functools.cache
def zoo(family):
    """Config of an entry of MMDetection's zoo -> the entry."""
    yaml = pytest.importorskip('yaml')
    path = Path(mmdet.__file__).parent.joinpath(
        '.mim', 'configs', family, 'metafile.yml'
    )
    entries = yaml.safe_load(path.read_text())['Models']
    return {
        entry['Config'].removeprefix('configs/').removesuffix('.py'): entry
        for entry in entries
    }


def box_ap(entry):
    return entry['Results'][0]['Metrics']['box AP']


@functools.cache
def read(path):
    return Config.fromfile(path)


def load(path):
    """A config of its own for each test; reading one takes a second."""
    return copy.deepcopy(read(path))


def drop_init_cfg(node):
    """Remove what would load weights, in place."""
    if isinstance(node, dict):
        node.pop('init_cfg', None)
        for value in node.values():
            drop_init_cfg(value)
    return node


def build(model):
    """A detector with random weights."""
    init_default_scope('mmdet')
    return MODELS.build(drop_init_cfg(copy.deepcopy(model)))
