"""Every config of the repository, without a training run."""

import copy
import functools
import pkgutil
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS, MODELS, init_default_scope

from mmkd_plugin import losses
from mmkd_plugin.teachers.config import load_config
from tests.helpers.doc_examples import DOCS, examples

mmdet = pytest.importorskip('mmdet')

CONFIGS = Path(__file__).parents[2] / 'configs'
COCO = sorted(CONFIGS.glob('*.py'))
SMALL = sorted([*CONFIGS.glob('bccd/*.py'), *CONFIGS.glob('neu/*.py')])
ALL = sorted(
    path for path in CONFIGS.rglob('*.py') if '_base_' not in path.parts
)
# The module of a loss, its fragment in configs/_base_/methods/ and its page in
# docs/methods/ have the name of the method.
METHODS = sorted(
    module.name
    for module in pkgutil.iter_modules(losses.__path__)
    if not module.ispkg
)
STRIDES = (4, 8, 16, 32, 64)
HEAD = re.compile(
    r'# (?P<what>\S.*\n(?:# \S.*\n){0,2})'
    r'# Run: (?P<run>.+)\n'
    r'# Prepare: (?P<page>.+)\n'
    r'# Result: (?P<result>.+\n(?:#   .+\n)*)'
    r'\n(?=_base_ = )'
)


def methods_of(path):
    """What the name of a config ends with: none, one or several methods."""
    found = re.search(rf'(_({"|".join(METHODS)}))*$', path.stem)[0]
    return found.split('_')[1:]


every_config = pytest.mark.parametrize(
    'path',
    ALL,
    ids=lambda path: str(path.relative_to(CONFIGS).with_suffix('')),
)
coco_config = pytest.mark.parametrize('path', COCO, ids=lambda path: path.stem)
distilled_config = pytest.mark.parametrize(
    'path',
    [path for path in COCO + SMALL if methods_of(path)],
    ids=lambda path: str(path.relative_to(CONFIGS).with_suffix('')),
)


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
    init_default_scope('mmdet')
    return MODELS.build(drop_init_cfg(copy.deepcopy(model)))


@every_config
def test_opens_with_a_comment(path):
    """What it trains, how, from which data, and what came out."""
    head = re.match(HEAD, path.read_text())
    assert head, 'a config begins as HEAD says'
    (command,) = re.findall(
        r'^(?:python tools/train\.py|bash tools/dist_train\.sh) (\S+)(?: 8)?$',
        head['run'],
    )
    assert CONFIGS.parent / command == path
    assert re.fullmatch(r'docs/datasets/\w+\.md', head['page'])
    page = CONFIGS.parent.joinpath(head['page']).read_text()
    folder = path.parent.relative_to(CONFIGS.parent)
    assert f'`{folder}/' in page, 'the page says which configs it is for'
    data = load(path).train_dataloader.dataset.data_root
    assert f'{data}' in page, 'the page says where the data go'
    assert re.match(r'not measured |(mAP|top-1) \d+\.\d+', head['result']), (
        'it says what was measured'
    )


@every_config
def test_weights_of_the_teacher_are_on_the_page(path):
    """Where the file goes, or the fragment that has the URL."""
    page = re.search(r'^# Prepare: (.+)$', path.read_text(), re.M)[1]
    page = CONFIGS.parent.joinpath(page).read_text()
    for hook in load(path).get('custom_hooks', []):
        place = hook.teacher.checkpoint
        if '://' in place:
            assert 'custom_hooks.0.teacher.checkpoint=' in page
            assert '`configs/_base_/teachers/' in page
        else:
            place = Path(place)
            if place.is_absolute():
                place = place.relative_to(CONFIGS.parent)
            assert str(place) in page


@pytest.mark.slow
@every_config
def test_survives_copy_and_dump(path, tmp_path):
    cfg = load(path)
    dumped = tmp_path / 'dumped.py'
    cfg.dump(dumped)
    assert Config.fromfile(dumped).to_dict() == cfg.to_dict()
    assert copy.deepcopy(cfg).to_dict() == cfg.to_dict()


@every_config
def test_hooks_build_without_their_teacher(path):
    """A path that does not exist is not looked at before training."""
    cfg = load(path)
    for hook in cfg.get('custom_hooks', []):
        if 'teacher' in hook:
            hook.teacher.checkpoint = '/does/not/exist.pth'
        assert isinstance(HOOKS.build(hook), Hook)


@coco_config
def test_coco_settings(path):
    cfg = load(path)
    assert cfg.default_scope == 'mmdet'
    assert cfg.custom_imports['imports'] == ['mmkd_plugin']
    assert cfg.auto_scale_lr.base_batch_size == 16
    assert cfg.auto_scale_lr.base_batch_size == (
        8 * cfg.train_dataloader.batch_size
    )
    assert cfg.optim_wrapper.optimizer.lr == 0.02
    assert cfg.train_cfg.max_epochs == 12
    assert cfg.param_scheduler[1].milestones == [8, 11]
    assert cfg.model.roi_head.bbox_head.num_classes == 80
    assert cfg.default_hooks.checkpoint.save_best == 'coco/bbox_mAP'
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        resize = next(
            step for step in loader.dataset.pipeline if step.type == 'Resize'
        )
        assert resize.scale == (1333, 800)


@coco_config
def test_student_is_the_one_in_the_name(path):
    cfg = load(path)
    parts = path.stem.split('_')
    student = parts[2] if methods_of(path) else parts[1]
    backbone = cfg.model.backbone
    assert (backbone.type, backbone.get('depth')) == dict(
        r18=('ResNet', 18), r50=('ResNet', 50), mv2=('MobileNetV2', None)
    )[student]
    assert backbone.norm_eval
    assert (
        backbone.init_cfg
        == dict(
            r18=dict(type='Pretrained', checkpoint='torchvision://resnet18'),
            r50=dict(type='Pretrained', checkpoint='torchvision://resnet50'),
            mv2=dict(
                type='TorchvisionMobileNetV2Init',
                checkpoint='torchvision://mobilenet_v2',
            ),
        )[student]
    )


@pytest.mark.parametrize('name', ['frcnn_r18', 'frcnn_r50', 'frcnn_mv2'])
def test_student_builds(name):
    """Its features have the strides that its heads are set up for."""
    model = build(load(CONFIGS / f'{name}.py').model).eval()
    with torch.no_grad():
        features = model.extract_feat(torch.randn(1, 3, 64, 128))
    assert [tuple(f.shape) for f in features] == [
        (1, 256, 64 // stride, 128 // stride) for stride in STRIDES
    ]


@distilled_config
def test_training_is_that_of_the_student_alone(path):
    """A distillation config adds its hook and changes nothing else."""
    cfg = load(path).to_dict()
    student = path.stem.split('_')[2]
    alone = load(path.parent / f'frcnn_{student}.py').to_dict()
    for key in ('custom_hooks', 'teacher', 'distill'):
        cfg.pop(key)
    assert cfg == alone


@distilled_config
def test_method_is_the_one_in_the_name(path):
    (hook,) = load(path).custom_hooks
    built = HOOKS.build(hook).distiller.losses
    methods = methods_of(path)
    assert list(built) == [f'loss_{method}' for method in methods]
    assert [type(loss).__module__ for loss in built.values()] == [
        f'{losses.__name__}.{method}' for method in methods
    ]


def settings_of(entry):
    """All that a hook was given, its defaults too, without the teacher."""
    teacher = dict(config='teacher.py', checkpoint='teacher.pth')
    hook = HOOKS.build(dict(entry, teacher=teacher))
    terms = {
        name: {
            key: value
            for key, value in vars(loss).items()
            if not key.startswith('_')
        }
        for name, loss in hook.distiller.losses.items()
    }
    return type(hook), terms, vars(hook.schedule)


@pytest.mark.parametrize('method', METHODS)
def test_fragment_has_the_settings_of_the_page(method):
    """And is a fragment: a hook for any student and teacher."""
    fragment = load(CONFIGS / f'_base_/methods/{method}.py')
    assert list(fragment) == ['distill']
    (example,) = examples(DOCS / 'methods' / f'{method}.md')
    entry = eval(example.code)
    found = settings_of(fragment.distill)
    assert found == settings_of(entry)
    assert f'loss_{method}' in found[1]


def zoo():
    """Entries of mmdet's Faster R-CNN zoo."""
    yaml = pytest.importorskip('yaml')
    path = Path(mmdet.__file__).parent.joinpath(
        '.mim', 'configs', 'faster_rcnn', 'metafile.yml'
    )
    return yaml.safe_load(path.read_text())['Models']


def strongest(depth):
    """The zoo's Faster R-CNN FPN of this depth with the highest box AP."""
    entries = [
        entry
        for entry in zoo()
        if re.search(rf'faster-rcnn_r{depth}[-_].*fpn', entry['Config'])
    ]
    assert len(entries) > 3
    return max(
        entries, key=lambda entry: entry['Results'][0]['Metrics']['box AP']
    )


@pytest.mark.parametrize(
    'path',
    [path for path in COCO if methods_of(path)],
    ids=lambda path: path.stem,
)
def test_teacher_is_the_strongest_of_its_name(path):
    depth = path.stem.split('_')[1].removeprefix('r')
    (hook,) = load(path).custom_hooks
    assert hook.teacher.checkpoint == strongest(depth)['Weights']


@pytest.mark.parametrize('depth', [101, 50])
def test_teacher_config_is_that_of_its_weights(depth):
    """The same model as in the zoo, with the input that it was trained on."""
    teacher = load(CONFIGS / f'_base_/teachers/frcnn_r{depth}.py').teacher
    model = load_config(teacher.config).model
    listed = strongest(depth)['Config'].removeprefix('configs/')
    zoo_model = load_config(f'mmdet::{listed}').model

    preprocessor = model.pop('data_preprocessor')
    zoo_preprocessor = zoo_model.pop('data_preprocessor')
    assert model.to_dict() == zoo_model.to_dict()
    if model.backbone.style == 'caffe':
        assert preprocessor.mean == [103.53, 116.28, 123.675]
        assert preprocessor.std == [1.0, 1.0, 1.0]
        assert not preprocessor.bgr_to_rgb
    else:
        assert preprocessor == zoo_preprocessor


@pytest.mark.parametrize('depth', [101, 50])
def test_teacher_builds(depth):
    teacher = load(CONFIGS / f'_base_/teachers/frcnn_r{depth}.py').teacher
    model = load_config(teacher.config).model
    assert model.backbone.depth == depth
    assert model.roi_head.bbox_head.num_classes == 80
    build(model)
