"""Every kind of bad input gets the sentence that docs/errors.md shows."""

import contextlib
import copy
import errno
import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from urllib.error import URLError

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DATASETS, HOOKS, MODELS, DefaultScope
from mmengine.runner import IterBasedTrainLoop, Runner
from PIL import Image
from torch import distributed

from mmkd_plugin import compat, launch, teacher_metric
from mmkd_plugin.checkpoint import load_strictly, read_checkpoint
from mmkd_plugin.class_names import match_classes
from mmkd_plugin.data_check import check_data
from mmkd_plugin.datasets import InMemoryCIFAR100
from mmkd_plugin.errors import explain, explain_errors
from mmkd_plugin.last_checkpoint import repair_last
from mmkd_plugin.losses import KDLoss, RLDLoss
from mmkd_plugin.taps import ClsHeadTap, RoIHeadTap
from mmkd_plugin.teacher import Teacher, load_config
from mmkd_plugin.unpickling import load_from_local
from tests import tiny, tiny_cls

REPO = Path(__file__).parents[1]
DOCS = REPO / 'docs' / 'errors.md'
DEMO = REPO / 'configs' / 'demo' / 'frcnn_r18w8.py'
TEACHER = dict(config='teacher.py', checkpoint='teacher.pth')
LOSSES = dict(loss_kd=dict(type='KDLoss'))

# Id of a row -> what brings the error about. It gets a `World`.
CASES = {}
# Errors of a running training, and of other tools, brought about where these
# are tested.
ELSEWHERE = {
    'checkpoint-attack': (
        'tests/test_hostile.py',
        'test_attacks_are_called_so',
    ),
    'checkpoint-torchscript': (
        'tests/test_hostile.py',
        'test_torchscript_is_refused',
    ),
    'checkpoint-special': (
        'tests/test_hostile.py',
        'test_pipes_and_devices_are_not_opened',
    ),
    'checkpoint-limit': (
        'tests/test_hostile.py',
        'test_limits_are_sentences',
    ),
    'checkpoint-layout': (
        'tests/test_hostile.py',
        'test_weights_are_plain_tensors_with_names',
    ),
    'checkpoint-meta': (
        'tests/test_hostile.py',
        'test_meta_is_a_dict',
    ),
    'trust-switch': (
        'tests/test_zoo.py',
        'test_trust_is_true_or_false',
    ),
    'checkpoint-scheme': (
        'tests/test_zoo.py',
        'test_every_scheme_is_covered_or_refused',
    ),
    'checkpoint-zoo': (
        'tests/test_zoo.py',
        'test_model_that_no_zoo_has',
    ),
    'checkpoint-checksum': (
        'tests/test_download.py',
        'test_checksum_in_the_name',
    ),
    'resume-stand-in': (
        'tests/test_run_data.py',
        'test_stand_in_where_training_needs_a_value',
    ),
    'resume-number': (
        'tests/test_run_data.py',
        'test_number_that_is_none',
    ),
    'publish-config': (
        'tests/tools/test_publish_student.py',
        'test_config_in_the_file_is_never_used',
    ),
    'publish-meta': (
        'tests/tools/test_publish_student.py',
        'test_values_that_cannot_be_published',
    ),
    'two-hooks': (
        'tests/hooks/test_distill_hook.py',
        'test_two_hooks_with_one_name_are_refused',
    ),
    'nonfinite-term': (
        'tests/hooks/test_term_guard.py',
        'test_nonfinite_term_raises_before_saving',
    ),
    'dead-term': (
        'tests/hooks/test_term_guard.py',
        'test_term_without_gradient_stops_the_first_step',
    ),
    'no-sample': (
        'tests/hooks/test_term_guard.py',
        'test_no_sample_in_the_first_steps',
    ),
    'noise-size': (
        'tests/tools/test_inspect_config.py',
        'test_size_that_nothing_tells',
    ),
    'student-missing': (
        'tests/tools/test_rows.py',
        'test_student_that_is_missing',
    ),
    'no-hook': ('tests/tools/test_rows.py', 'test_config_without_teacher'),
    'no-rows': ('tests/tools/test_rows.py', 'test_no_row_is_an_error'),
    'few-rows': ('tests/tools/test_rows.py', 'test_more_rows_than_there_are'),
    'weak-teacher': (
        'tests/test_teacher_metric.py',
        'test_weak_teacher_is_refused',
    ),
}


def case(name):
    def register(function):
        assert name not in CASES
        CASES[name] = function
        return function

    return register


@pytest.fixture(scope='module')
def detector():
    return tiny.build_detector(7)


class World:
    """What the cases need: a folder, a detector and its weights."""

    def __init__(self, path, monkeypatch, model):
        self.path = path
        self.monkeypatch = monkeypatch
        self.model = model

    def file(self, name, text=''):
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)

    def save(self, content):
        torch.save(content, self.path / 'weights.pth')
        return str(self.path / 'weights.pth')

    def weights(self, **changes):
        """The detector's weights, with some replaced or, if None, left out."""
        state = dict(self.model.state_dict(), **changes)
        return {k: v for k, v in state.items() if v is not None}

    def load(self, state, role='teacher'):
        load_strictly(self.model, state, 'weights.pth', role)

    def args(self, *argv):
        return launch.build_parser('').parse_args([str(arg) for arg in argv])

    def start(self, *argv, config=DEMO):
        """All that a command does before it builds the runner."""
        cfg = launch.load_config(self.args(config, *argv))
        launch.check_start(
            cfg, 'model', 'train_dataloader', 'train_cfg', 'optim_wrapper'
        )

    def dataset(self, classes=tiny.CLASSES, image='noise', **changes):
        """A COCO data set of one image; `changes` replace parts of it."""
        content = dict(
            images=[dict(id=1, file_name='a.png', width=64, height=64)],
            annotations=[annotation()],
            categories=[
                dict(id=i, name=name) for i, name in enumerate(tiny.CLASSES)
            ],
        )
        content.update(changes)
        self.file('a.json', json.dumps(content))
        self.file('a.png', image)
        return dict(
            type='CocoDataset',
            data_root=str(self.path),
            ann_file='a.json',
            data_prefix=dict(img=''),
            metainfo=dict(classes=classes),
            filter_cfg=dict(filter_empty_gt=True),
            pipeline=[dict(type='LoadImageFromFile')],
        )

    def check(self, dataset, **changes):
        """Check a data set as a command does before it trains."""
        check_data(DataRunner({**dataset, **changes}), 'train')


def annotation(**changes):
    return dict(
        id=1,
        image_id=1,
        category_id=0,
        bbox=[8, 8, 16, 16],
        area=256,
        iscrowd=0,
    ) | dict(changes)


class DataRunner:
    """As much of a runner as its data."""

    def __init__(self, dataset):
        self.cfg = dict(train_dataloader=dict(dataset=dataset))

    @property
    def train_loop(self):
        cfg = self.cfg['train_dataloader']['dataset']
        with DefaultScope.overwrite_default_scope('mmdet'):
            dataset = DATASETS.build(cfg)
        return SimpleNamespace(dataloader=SimpleNamespace(dataset=dataset))


def hook(**changes):
    cfg = dict(type='DistillHook', teacher=TEACHER, losses=LOSSES)
    return HOOKS.build({**cfg, **changes})


# Arguments of the hook and of what it builds.

case('hook-type')(lambda w: HOOKS.build(dict(type='CKDHok', teacher=TEACHER)))
case('hook-argument')(
    lambda w: HOOKS.build(dict(type='CKDHook', teacher=TEACHER, tua=2))
)
case('no-teacher')(lambda w: HOOKS.build(dict(type='CKDHook')))
case('teacher-part')(lambda w: hook(teacher=dict(config='teacher.py')))
case('teacher-key')(lambda w: hook(teacher=dict(TEACHER, prefx='a.')))
case('teacher-list-empty')(lambda w: hook(teacher=[]))
case('losses-empty')(lambda w: hook(losses={}))
case('loss-name')(lambda w: hook(losses=dict(kd=dict(type='KDLoss'))))
case('loss-no-type')(lambda w: hook(losses=dict(loss_kd=dict(tau=1))))
case('loss-type')(lambda w: hook(losses=dict(loss_kd=dict(type='KDLos'))))
case('loss-argument')(
    lambda w: hook(losses=dict(loss_kd=dict(type='KDLoss', tua=1)))
)
case('tau')(lambda w: hook(losses=dict(loss_kd=dict(type='KDLoss', tau=0))))
case('loss-weight')(
    lambda w: hook(losses=dict(loss_kd=dict(type='KDLoss', loss_weight=-1)))
)
case('tap-type')(lambda w: hook(tap=dict(type='RoITap')))
case('background-weight')(
    lambda w: hook(tap=dict(type='RoIHeadTap', background_weight=-1))
)
case('log-prefix')(lambda w: hook(log_prefix='kd_loss'))
case('warmup')(lambda w: hook(warmup=-1))
case('end')(lambda w: hook(begin=3, end=3))
case('on-nonfinite')(lambda w: hook(on_nonfinite='ignore'))
case('precision')(lambda w: Teacher(**TEACHER, precision='int8'))
case('teacher-switch')(lambda w: Teacher(**TEACHER, fuse_bn='yes'))


@case('loss-clash')
def _(w):
    clashing = hook(
        losses=dict(loss_cls=dict(type='KDLoss')), tap=dict(type='RoIHeadTap')
    )
    student = SimpleNamespace(training=True)
    call = dict(mode='loss', inputs=torch.zeros(1))
    clashing._add_terms(student, (), call, dict(loss_cls=torch.ones(1)))


@case('epochs')
def _(w):
    loop = IterBasedTrainLoop.__new__(IterBasedTrainLoop)
    hook(warmup=2).before_train(SimpleNamespace(train_loop=loop))


@case('check-without-val')
def _(w):
    teacher_metric.check_teacher(SimpleNamespace(val_loop=None), None)


@case('min-metric')
def _(w):
    w.monkeypatch.setattr(
        teacher_metric, 'teacher_metrics', lambda *args: dict(bbox_mAP=0.3)
    )
    runner = SimpleNamespace(logger=SimpleNamespace(info=print))
    teacher = SimpleNamespace(source='teacher.pth')
    teacher_metric.check_teacher(runner, teacher, dict(mAP=0.3))


# The teacher's config and checkpoint.

case('teacher-config')(lambda w: load_config('no/such.py'))
case('teacher-config-package')(lambda w: load_config('nowhere::x.py'))
case('teacher-config-model')(lambda w: load_config(dict(lr=1)))
case('teacher-config-kind')(lambda w: load_config(3))
case('checkpoint-missing')(lambda w: read_checkpoint('no.pth'))
case('checkpoint-folder')(lambda w: read_checkpoint(str(w.path)))
case('checkpoint-empty')(lambda w: read_checkpoint(w.file('teacher.pth')))
case('checkpoint-text')(lambda w: read_checkpoint(w.file('t.pth', 'hello')))
case('checkpoint-content')(lambda w: read_checkpoint(w.save(dict(epoch=3))))
case('prefix')(
    lambda w: read_checkpoint(w.save(dict(a=torch.ones(1))), prefix='x.')
)
case('teacher-wrapped')(
    lambda w: w.load({f'architecture.{k}': v for k, v in w.weights().items()})
)
case('teacher-depth')(lambda w: w.load(w.weights(**{CONV: None})))
case('teacher-classes')(lambda w: w.load(w.weights(**{BIAS: torch.zeros(81)})))
CONV = 'backbone.layer2.0.conv1.weight'
BIAS = 'roi_head.bbox_head.fc_cls.bias'


@case('compile')
def _(w):
    # As inductor says it.
    raise RuntimeError(
        'InvalidCxxCompiler: No working C++ compiler found in '
        "torch._inductor.config.cpp.cxx: (None, 'g++')\n\nSet ..."
    )


@case('teacher-scope')
def _(w):
    config = dict(default_scope='mmseg', model=dict(type='EncoderDecoder'))
    Teacher(config, w.save(w.weights()))


@case('checkpoint-cut')
def _(w):
    path = Path(w.save(w.weights()))
    path.write_bytes(path.read_bytes()[:5000])
    read_checkpoint(str(path))


class Malice:
    def __reduce__(self):
        return os.system, ('touch malice',)


@case('checkpoint-malice')
def _(w):
    w.monkeypatch.chdir(w.path)
    path = w.save(dict(state_dict=w.weights(), meta=Malice()))
    try:
        read_checkpoint(path)
    finally:
        assert not Path('malice').exists()


@case('checkpoint-download')
def _(w):
    def download(*args):
        raise OSError('no route to host')

    w.monkeypatch.setenv('TORCH_HOME', str(w.path))
    w.monkeypatch.setattr('mmkd_plugin.download.fetch', download)
    read_checkpoint('https://example.com/teacher.pth')


# Models that cannot be compared.

case('class-names')(lambda w: match_classes(['x', 'a'], ['a', 'b'], 2, 2))
case('class-number')(lambda w: match_classes(['a'], None, 1, 80))
case('class-number-head')(lambda w: match_classes(['a'], ['a'], 80, 1))


@case('one-stage')
def _(w):
    model = type('RetinaNet', (torch.nn.Module,), {})()
    RoIHeadTap().check('teacher', model)


@case('cascade')
def _(w):
    model = copy.deepcopy(w.model)
    head = model.roi_head.bbox_head
    model.roi_head.bbox_head = torch.nn.ModuleList([head] * 3)
    RoIHeadTap().check('student', model)


@case('sigmoid')
def _(w):
    loss = w.model.roi_head.bbox_head.loss_cls
    w.monkeypatch.setattr(loss, 'use_sigmoid', True)
    RoIHeadTap().check('student', w.model)


@case('custom-activation')
def _(w):
    loss = w.model.roi_head.bbox_head.loss_cls
    w.monkeypatch.setattr(loss, 'custom_activation', True, raising=False)
    RoIHeadTap().check('teacher', w.model)


@case('logits-number')
def _(w):
    head = w.model.roi_head.bbox_head
    w.monkeypatch.setattr(head, 'num_classes', 4)
    RoIHeadTap().check('student', w.model)


def check_head(role, **cfg):
    model = tiny_cls.build_classifier()
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model.head = MODELS.build(cfg)
    ClsHeadTap().check(role, model)


SIZES = dict(num_classes=3, in_channels=8)
case('not-a-classifier')(lambda w: ClsHeadTap().check('teacher', w.model))
case('multi-label')(lambda w: check_head('student', type='MultiLabelClsHead'))
case('two-tokens')(
    lambda w: check_head('teacher', type='DeiTClsHead', **SIZES)
)
case('margin')(lambda w: check_head('student', type='ArcFaceClsHead', **SIZES))


@case('several-tasks')
def _(w):
    task = dict(type='LinearClsHead', num_classes=3)
    check_head(
        'student',
        type='MultiTaskHead',
        in_channels=8,
        task_heads=dict(one=task),
    )


@case('rows')
def _(w):
    student, tap = tiny_cls.build_classifier(), ClsHeadTap()
    tap.attach(student)
    student.head.loss_module(torch.ones(2, 3, 4), torch.ones(2).long())


case('class-twice')(
    lambda w: match_classes(
        ['crane', 'cat', 'crane'], ['cat', 'crane', 'crane'], 3, 3
    )
)

LOGITS = (torch.ones(2, 3), torch.ones(2, 3))
case('soft-labels')(lambda w: RLDLoss()(*LOGITS, torch.ones(2, 3)))
case('one-hot-labels')(lambda w: RLDLoss()(*LOGITS, torch.ones(2, 3).long()))
case('logits-shape')(lambda w: KDLoss()(LOGITS[0], torch.ones(2, 4), None))

# Data.

case('cifar-missing')(
    lambda w: w.check(dict(type='InMemoryCIFAR100'), data_root='no/such')
)


@case('cifar-file-missing')
def _(w):
    w.file('cifar-100-python/meta')
    InMemoryCIFAR100(str(w.path))


@case('cifar-md5')
def _(w):
    w.file('cifar-100-python/train')
    InMemoryCIFAR100(str(w.path))


@case('cifar-archive')
def _(w):
    w.file('cifar-100-python.tar.gz', 'no archive')
    InMemoryCIFAR100(str(w.path))


@case('cifar-sheet')
def _(w):
    (w.path / 'train').mkdir()
    Image.new('RGB', (64, 40)).save(w.path / 'train' / 'cat.png')
    InMemoryCIFAR100(str(w.path))


case('cifar-split')(lambda w: InMemoryCIFAR100('', split='val'))
case('cifar-padding')(lambda w: InMemoryCIFAR100('', padding=-1))
case('cifar-flip')(lambda w: InMemoryCIFAR100('', flip_prob=2))
case('data-root')(lambda w: w.check(w.dataset(), data_root='no/such'))
case('annotation-missing')(lambda w: w.check(w.dataset(), ann_file='b.json'))
case('annotation-not-coco')(lambda w: w.check(w.dataset(images=None)))
case('annotation-key')(
    lambda w: w.check(w.dataset(annotations=[dict(id=1, image_id=1)]))
)
case('annotation-no-image')(
    lambda w: w.check(w.dataset(images=[], annotations=[]))
)
case('annotation-no-box')(lambda w: w.check(w.dataset(annotations=[])))
case('annotation-ids')(
    lambda w: w.check(
        w.dataset(
            images=[image(1), image(2)],
            annotations=[annotation(), annotation(image_id=2)],
        )
    )
)
case('zero-area')(
    lambda w: w.check(
        w.dataset(annotations=[annotation(bbox=[8, 8, 0, 16], area=0)])
    )
)
case('categories')(lambda w: w.check(w.dataset(classes=('car', 'bus'))))
case('categories-some')(lambda w: w.check(w.dataset(classes=('cat', 'bus'))))
case('categories-order')(
    lambda w: w.check(w.dataset(classes=tiny.CLASSES[::-1]))
)
case('image-missing')(lambda w: w.check(w.dataset(images=[image(1, 'b.png')])))


def image(number, name='a.png'):
    return dict(id=number, file_name=name, width=64, height=64)


@case('annotation-not-json')
def _(w):
    dataset = w.dataset()
    w.file('a.json', '{"images": [')
    w.check(dataset)


@case('image-damaged')
def _(w):
    dataset = DataRunner(w.dataset()).train_loop.dataloader.dataset
    # In another process, whose traceback becomes part of the message.
    list(torch.utils.data.DataLoader(dataset, num_workers=1))


@case('image-empty')
def _(w):
    DataRunner(w.dataset(image='')).train_loop.dataloader.dataset[0]


# The config and the options.


@case('config-import')
def _(w):
    text = "custom_imports = dict(imports=['no_such_module'],\n"
    w.start(config=w.file('c.py', f'{text}allow_failed_imports=False)'))


case('config-missing')(lambda w: w.start(config='nowhere.py'))
case('config-kind')(lambda w: w.start(config=w.file('c.txt')))
case('config-syntax')(lambda w: w.start(config=w.file('c.py', 'model = (')))
case('config-base')(
    lambda w: w.start(config=w.file('c.py', "_base_ = './no_such.py'"))
)
case('config-model')(lambda w: w.start(config=w.file('c.py', 'lr = 1')))
case('option-key')(
    lambda w: w.start('--cfg-options', 'trian_cfg.max_epochs=1')
)
case('option-index')(
    lambda w: w.start('--cfg-options', 'param_scheduler.5.begin=1')
)
case('option-data-root')(
    lambda w: w.start(
        '--cfg-options', 'data_root=/x', config=w.file('c.py', 'lr = 1')
    )
)
case('model-argument')(lambda w: build(dict(type='KDLoss', dpeth=18)))
case('model-type')(lambda w: build(dict(type='ResNot')))


def build(cfg):
    with DefaultScope.overwrite_default_scope('mmdet'):
        MODELS.build(cfg)


@case('first-weights')
def _(w):
    raise URLError('no route to host')


@case('versions')
def _(w):
    w.monkeypatch.setitem(compat.SUPPORTED, 'torch', ('99.0', None))
    compat.check_versions('torch')


# Launchers and folders.


@case('launcher-environment')
def _(w):
    w.monkeypatch.delenv('RANK', raising=False)
    w.start('--launcher', 'pytorch')


@case('launcher-gpu')
def _(w):
    for name in launch.LAUNCHERS['slurm'][0]:
        w.monkeypatch.setenv(name, '0')
    w.monkeypatch.setattr(launch, 'get_device', lambda: 'cpu')
    w.start('--launcher', 'slurm')


@case('port')
def _(w):
    with socket.socket() as used:
        used.bind(('127.0.0.1', 0))
        used.listen()
        port = used.getsockname()[1]
        w.monkeypatch.setenv('MASTER_PORT', str(port))
        distributed.init_process_group(
            'gloo', f'tcp://127.0.0.1:{port}', rank=0, world_size=2
        )


@case('work-dir-file')
def _(w):
    w.start('--work-dir', Path(w.file('a_file'), 'work'))


@case('work-dir-read-only')
def _(w):
    w.path.chmod(0o500)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)  # to whom permissions apply
    try:
        w.start('--work-dir', w.path / 'work')
    finally:
        if root:
            os.seteuid(0)
        w.path.chmod(0o700)


@case('work-dir-full')
def _(w):
    full = shutil.disk_usage(w.path)._replace(free=100)
    w.monkeypatch.setattr(shutil, 'disk_usage', lambda path: full)
    w.start('--work-dir', w.path / 'work')


@case('disk-full')
def _(w):
    # A file that takes nothing, as a disk does that is full.
    with open('/dev/full', 'w') as file:
        file.write('a checkpoint')


case('disk-denied')(
    lambda w: (_ for _ in ()).throw(
        PermissionError(errno.EACCES, 'Permission denied', 'work/epoch_1.pth')
    )
)
case('resume-nothing')(lambda w: resume(w, w.path / 'no_such', None))


def resume(w, work_dir, checkpoint):
    cfg = Config(
        dict(
            launcher='none',
            work_dir=str(work_dir),
            resume=True,
            load_from=checkpoint,
        )
    )
    launch.check_start(cfg)


@case('resume-weights')
def _(w):
    runner = SimpleNamespace(
        load_checkpoint=lambda name, map_location: load_from_local(name)
    )
    Runner.resume(runner, w.save(dict(state_dict=w.weights())))


@case('resume-damaged')
def _(w):
    load_from_local(w.file('epoch_1.pth', 'hello'))


@case('resume-none-whole')
def _(w):
    (w.path / 'last_checkpoint').write_text(w.file('epoch_1.pth', 'hello'))
    repair_last(w.path)


@case('resume-missing')
def _(w):
    load_from_local('work/epoch_7.pth')


@case('resume-malice')
def _(w):
    load_from_local(w.save(dict(state_dict=w.weights(), meta=Malice())))


case('test-other-model')(
    lambda w: w.load(
        w.weights(**{CONV: None, 'backbone.x': torch.ones(1)}), role='model'
    )
)


def rows():
    """Id, error and advice of each row of the page."""
    found = []
    for line in DOCS.read_text().splitlines():
        if line.startswith('| <a id='):
            what, printed, advice = re.split(r'(?<!\\)\|', line)[1:4]
            name = re.search('id="(.*?)"', what)[1]
            printed = printed.strip().strip('`').strip().replace(r'\|', '|')
            found.append((name, printed, advice.strip()))
    return found


ROWS = {name: printed for name, printed, _ in rows()}
EXIT_ROWS = {'option-value', 'launcher', 'test-missing', 'auto-scale-lr'}


def pattern(printed):
    return re.escape(printed).replace('…', '.+?')


def test_page_has_one_row_for_each_case():
    names = [name for name, *_ in rows()]
    assert len(set(names)) == len(names)
    assert set(names) == {*CASES, *ELSEWHERE, *EXIT_ROWS}
    assert len(names) >= 40
    assert all(printed and advice for _, printed, advice in rows())


@pytest.mark.parametrize('name', CASES)
def test_printed(name, tmp_path, monkeypatch, detector):
    world = World(tmp_path, monkeypatch, detector)
    with pytest.raises(Exception) as caught:
        CASES[name](world)
    sentence = explain(caught.value)
    assert sentence, 'not recognised'
    assert '\n' not in sentence
    assert re.fullmatch(pattern(ROWS[name]), sentence), sentence


@pytest.mark.parametrize('name', ELSEWHERE)
def test_is_tested_elsewhere(name):
    path, test = ELSEWHERE[name]
    assert f'def {test}(' in (REPO / path).read_text()


def load_tool(name):
    spec = importlib.util.spec_from_file_location(
        f'tool_{name}', REPO / 'tools' / f'{name}.py'
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    'name, tool, argv, code',
    [
        ('option-value', 'train', [DEMO, '--cfg-options', 'data_root'], 2),
        ('launcher', 'train', [DEMO, '--launcher', 'torchrun'], 2),
        ('auto-scale-lr', 'train', [DEMO, '--auto-scale-lr'], 1),
        ('test-missing', 'test', [DEMO, 'nowhere.pth'], 1),
    ],
)
def test_options(name, tool, argv, code, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'argv', [f'{tool}.py', *map(str, argv)])
    with pytest.raises(SystemExit) as caught:
        load_tool(tool).main()
    if code == 2:
        assert caught.value.code == 2
        printed = capsys.readouterr().err.splitlines()[-1]
    else:
        printed = caught.value.code  # a string: printed, and the code is 1
    assert re.fullmatch(f'.*error: {pattern(ROWS[name])}', printed), printed
    assert not list(tmp_path.iterdir())


# Commands as a user types them.

CONFIG = """
default_scope = 'mmdet'
custom_imports = dict(imports=['mmkd_plugin'], allow_failed_imports=False)
model = {model}
data_root = '{root}/'
train_dataloader = dict(
    batch_size=1, num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset={dataset})
test_dataloader = dict(
    batch_size=1, num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset={dataset})
train_cfg = dict(by_epoch=True, max_epochs=1)
test_cfg = dict()
test_evaluator = dict(type='CocoMetric', ann_file='{root}/a.json')
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.01))
custom_hooks = [dict(type='CKDHook', teacher=dict(
    config=dict(default_scope='mmdet', model=model),
    checkpoint='{root}/teacher.pth'))]
"""


@pytest.fixture
def config(tmp_path, monkeypatch, detector):
    world = World(tmp_path, monkeypatch, detector)
    dataset = world.dataset()
    text = CONFIG.format(
        model=tiny.detector_cfg().to_dict(), root=tmp_path, dataset=dataset
    )
    # What another model's training left.
    state = world.weights(**{CONV: None, 'backbone.x': torch.ones(1)})
    torch.save(dict(state_dict=state), tmp_path / 'other.pth')
    return Path(world.file('config.py', text))


@pytest.mark.parametrize(
    'name, tool, arguments',
    [
        ('hook-argument', 'train', ['--cfg-options', 'custom_hooks.0.tua=2']),
        ('test-other-model', 'test', ['other.pth']),
    ],
)
def test_command(name, tool, arguments, config):
    root = config.parent
    command = [sys.executable, REPO / 'tools' / f'{tool}.py', config]
    result = subprocess.run(
        [*command, *arguments, '--work-dir', root / 'work'],
        capture_output=True,
        text=True,
        timeout=600,
        cwd=root,
        env=dict(os.environ, PYTHONPATH=str(REPO), CUDA_VISIBLE_DEVICES=''),
    )
    assert result.returncode == 1
    assert 'Traceback' not in result.stderr
    printed = result.stderr.splitlines()[-1]
    wanted = ROWS[name].replace('weights.pth', 'other.pth')
    assert re.fullmatch(f'error: {pattern(wanted)}', printed), printed
    assert not list(root.glob('work/**/*.pth'))


def run_train(config, monkeypatch, *options):
    """Call tools/train.py in this process; return what it exits with."""
    argv = ['train.py', config, '--work-dir', config.parent / 'work']
    argv += ['--cfg-options', 'log_level=WARNING', *options]
    # A name of its own: MMEngine keeps what belongs to one.
    argv += [f'experiment_name=errors{len(MessageHub._instance_dict)}']
    monkeypatch.setattr(sys, 'argv', [str(arg) for arg in argv])
    loggers = set(MMLogger._instance_dict)
    with pytest.raises(SystemExit) as caught:
        load_tool('train').main()
    # Later tests must not log to this folder.
    for name in set(MMLogger._instance_dict) - loggers:
        for handler in MMLogger._instance_dict.pop(name).handlers:
            with contextlib.suppress(OSError):  # of the disk that is full
                handler.close()
    assert not list(config.parent.glob('work/**/*.pth'))
    return caught.value.code


def test_data_is_checked_before_the_teacher_is_read(config, monkeypatch):
    (config.parent / 'a.json').write_text('hello')
    printed = run_train(config, monkeypatch)
    assert re.fullmatch(
        f'error: {pattern(ROWS["annotation-not-json"])}', printed
    )


def test_teacher_is_read_before_the_first_step(config, monkeypatch):
    printed = run_train(config, monkeypatch)
    wanted = ROWS['checkpoint-missing'].replace('no.pth', '…')
    assert re.fullmatch(f'error: {pattern(wanted)}', printed), printed


@pytest.mark.skipif(
    sys.platform != 'linux' or os.geteuid() != 0,
    reason='only root mounts a small disk',
)
def test_disk_that_is_full(config, monkeypatch):
    """The run ends with the sentence when the config is to be written."""
    work = config.parent / 'work'
    work.mkdir()
    mounted = subprocess.run(
        ['mount', '-t', 'tmpfs', '-o', 'size=8k', 'tmpfs', work],
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        pytest.skip(f'no small disk: {mounted.stderr.strip()}')
    try:
        printed = run_train(config, monkeypatch)
        wanted = pattern(ROWS['work-dir-full'])
        assert re.fullmatch(f'error: {wanted}', printed), printed
        assert not list(work.iterdir())
        monkeypatch.setattr(launch, 'LEAST_SPACE', 0)
        printed = run_train(config, monkeypatch)
        wanted = pattern(ROWS['disk-full'])
        assert re.fullmatch(f'error: {wanted}', printed), printed
    finally:
        subprocess.run(['umount', '-l', work], check=True)


@pytest.mark.parametrize('script', ['dist_train.sh', 'dist_test.sh'])
def test_scripts_ask_for_a_free_port(script):
    with socket.socket() as used:
        used.bind(('127.0.0.1', 0))
        used.listen()
        port = str(used.getsockname()[1])
        result = subprocess.run(
            ['bash', REPO / 'tools' / script, 'x', '1', '1'],
            capture_output=True,
            text=True,
            env=dict(os.environ, PORT=port),
        )
    assert result.returncode == 1
    assert result.stderr == (
        f'error: The port {port} of the distributed run is in use: choose '
        'another one with PORT=...\n'
    )


def test_data_without_fault_is_accepted(tmp_path, monkeypatch, detector):
    """Boxes of no area are left out, and the others are enough."""
    world = World(tmp_path, monkeypatch, detector)
    boxes = [annotation(), annotation(id=2, bbox=[1, 1, 0, 0], area=0)]
    plain = world.dataset(annotations=boxes)
    world.check(plain)
    world.check(dict(type='RepeatDataset', dataset=plain, times=2))
    world.check(dict(type='ConcatDataset', datasets=[plain, plain]))
    # Images to test on need no boxes.
    world.check(world.dataset(annotations=[]), test_mode=True)
    with pytest.raises(ValueError):
        world.check(world.dataset(annotations=[]))


def test_faults_are_found_in_wrapped_data(tmp_path, monkeypatch, detector):
    world = World(tmp_path, monkeypatch, detector)
    plain = world.dataset(classes=('cat', 'bus'))
    for wrapped in (
        dict(type='RepeatDataset', dataset=plain, times=2),
        dict(type='ConcatDataset', datasets=[plain, plain]),
    ):
        with pytest.raises(ValueError, match=r'\(bus\) are no category'):
            world.check(wrapped)


def test_categories_are_found_among_other_keys(
    tmp_path, monkeypatch, detector
):
    """The names are read without parsing the file; it may be tricky."""
    world = World(tmp_path, monkeypatch, detector)
    categories = [
        dict(id=i, name=name, keypoints=['a]', 'b'], skeleton=[[1, 2]])
        for i, name in enumerate(tiny.CLASSES)
    ]
    world.check(
        world.dataset(
            categories=categories, info=dict(text='"categories": [1]')
        )
    )
    with pytest.raises(ValueError, match='in the order cat, dog, owl'):
        world.check(
            world.dataset(classes=('dog', 'cat', 'owl'), categories=categories)
        )


@pytest.mark.parametrize(
    'error', [ValueError('x'), TypeError('x() is bad'), KeyError('meta')]
)
def test_what_is_not_expected_keeps_its_traceback(error):
    with pytest.raises(type(error)) as caught, explain_errors():
        raise error
    assert caught.value is error


def test_mistake_in_the_plugin_keeps_its_traceback():
    with pytest.raises(AttributeError), explain_errors():
        load_strictly(None, {}, 'weights.pth')


def test_traceback_on_demand(monkeypatch):
    monkeypatch.setenv('MMKD_TRACEBACK', '1')
    with pytest.raises(ValueError, match='`tau`'), explain_errors():
        KDLoss(tau=0)


def test_noise_is_no_image():
    """As `image-damaged` needs it."""
    cv2 = pytest.importorskip('cv2')
    assert cv2.imdecode(np.frombuffer(b'noise', np.uint8), 1) is None
