"""The commands, as a user types them, on a few images in a folder."""

import importlib.util
import json
import logging
import os
import pickle
import subprocess
import sys
import types
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
from mmengine.config import Config

pytest.importorskip('mmdet')
cv2 = pytest.importorskip('cv2')

from mmkd_plugin.checkpoints.reading import read_checkpoint  # noqa: E402
from tests.helpers import tiny  # noqa: E402

REPO = Path(__file__).parents[2]
TOOLS = REPO / 'tools'
CONFIG = """
# A small detector, its teacher and three classes.
_base_ = [
    'mmdet::_base_/datasets/coco_detection.py',
    '{repo}/configs/_base_/runtime_det.py',
    '{repo}/configs/_base_/methods/ckd.py',
]
model = {model}
custom_hooks = [dict(teacher={teacher}, **_base_.distill)]

metainfo = dict(classes={classes})
train_dataloader = dict(
    num_workers=0, persistent_workers=False, dataset=dict(metainfo=metainfo))
val_dataloader = dict(
    num_workers=0, persistent_workers=False, dataset=dict(metainfo=metainfo))
test_dataloader = val_dataloader

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01, momentum=0.9))
auto_scale_lr = dict(enable=False, base_batch_size=16)
default_hooks = dict(logger=dict(interval=1))
randomness = dict(seed=0)
"""
SMALL_IMAGES = [
    f'{loader}_dataloader.dataset.pipeline.{step}.scale=(64,64)'
    for loader, step in (('train', 2), ('val', 1), ('test', 1))
]
# MMEngine's launchers need a GPU. Where there is none, a config can start the
# process group by itself, and MMEngine then leaves it alone.
GLOO = """
import os
import torch.distributed as dist
if 'RANK' in os.environ and not dist.is_initialized():
    dist.init_process_group('gloo')
"""


def write_coco(root, split, count, seed):
    """Images of noise with two bright boxes each, in COCO's layout."""
    rng = np.random.default_rng(seed)
    folder = root / f'{split}2017'
    folder.mkdir(parents=True)
    images, annotations = [], []
    for i in range(count):
        image = rng.integers(0, 80, (64, 64, 3), dtype=np.uint8)
        for x in (4, 36):
            image[20:44, x : x + 24] += 150
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=i,
                    category_id=len(annotations) % 3 + 1,
                    bbox=[x, 20, 24, 24],
                    area=576,
                    iscrowd=0,
                )
            )
        cv2.imwrite(str(folder / f'{i}.png'), image)
        images.append(dict(id=i, file_name=f'{i}.png', width=64, height=64))
    categories = [
        dict(id=i, name=name) for i, name in enumerate(tiny.CLASSES, 1)
    ]
    path = root / 'annotations' / f'instances_{split}2017.json'
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        json.dumps(
            dict(images=images, annotations=annotations, categories=categories)
        )
    )


def run(*command, **env):
    """Run a command as on a machine without a GPU; return its output."""
    path = f'{Path(sys.executable).parent}:{os.environ["PATH"]}'
    result = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        timeout=600,
        env={
            **os.environ,
            'PATH': path,
            'PYTHONPATH': str(REPO),
            'CUDA_VISIBLE_DEVICES': '',
            'OMP_NUM_THREADS': '1',
            **env,
        },
    )
    output = result.stdout + result.stderr
    assert result.returncode == 0, output[-3000:]
    return output


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """One epoch of ``tools/train.py`` with a teacher."""
    root = tmp_path_factory.mktemp('launchers')
    data = root / 'coco'
    write_coco(data, 'train', 4, seed=0)
    write_coco(data, 'val', 2, seed=1)
    config = root / 'tiny_ckd.py'
    config.write_text(
        CONFIG.format(
            repo=REPO,
            model=tiny.detector_cfg().to_dict(),
            teacher=tiny.save_teacher(root / 'teacher.pth'),
            classes=tiny.CLASSES,
        )
    )
    work = root / 'work'
    options = [f'data_root={data}', *SMALL_IMAGES]
    output = run(
        sys.executable, TOOLS / 'train.py', config, '--work-dir', work,
        '--cfg-options', *options, PYTHONWARNINGS='default::UserWarning',
    )  # fmt: skip
    return types.SimpleNamespace(
        root=root, config=config, work=work, options=options, output=output
    )


def val_map(output):
    """The values of ``coco/bbox_mAP`` in a log, in order."""
    return [
        line.split('coco/bbox_mAP:')[1].split()[0]
        for line in output.splitlines()
        if 'coco/bbox_mAP:' in line
    ]


@pytest.mark.slow
def test_train_logs_every_term_and_evaluates(trained):
    steps = [
        line for line in trained.output.splitlines() if 'Epoch(train)' in line
    ]
    assert len(steps) == 2  # 4 images in batches of 2
    for name in ('loss_ckd', 'loss_rpn_cls', 'kd_agreement', 'kd_teacher_acc'):
        assert all(f' {name}: ' in line for line in steps), name
    assert len(val_map(trained.output)) == 1


@pytest.mark.slow
def test_terminal_begins_with_the_training(trained):
    """The log file has the dumps."""
    first, *lines = trained.output.splitlines()
    assert first.endswith(' - INFO - Training')
    names = [line.split()[0] for line in lines if line.startswith('    ')]
    assert names == [
        'config', 'work', 'log', 'student', 'teacher', 'images', 'length',
        'precision', 'seed', 'loss_ckd', 'schedule',
    ]  # fmt: skip
    (path,) = trained.work.glob('*/*.log')
    file = path.read_text()
    for text in (
        'System environment:',
        'Config:\n',
        'Distributed training is not used',
        'Hooks will be executed',
        'loading annotations into memory...',
        '"FileClient" will be deprecated',
    ):
        assert text in file
        assert text not in trained.output
    assert ' in it, with ' in file
    for text in ('Could not import OneDL', 'faster_coco_eval', 'pkg_res'):
        assert text not in trained.output
    # What pycocotools prints of an evaluation is its result.
    assert 'Average Precision' in trained.output


@pytest.mark.slow
def test_train_saves_the_plain_student(trained):
    saved, _ = read_checkpoint(str(trained.work / 'epoch_1.pth'))
    student = tiny.build_detector()
    assert saved.keys() == student.state_dict().keys()


@pytest.mark.slow
def test_resume_goes_on(trained):
    output = run(
        sys.executable, TOOLS / 'train.py', trained.config, '--work-dir',
        trained.work, '--resume', '--cfg-options', *trained.options,
        'train_cfg.max_epochs=2',
    )  # fmt: skip
    assert 'resumed epoch: 1, iter: 2' in output
    assert 'Epoch(train) [1]' not in output
    assert 'Epoch(train) [2][2/2]' in output
    assert (trained.work / 'epoch_2.pth').is_file()


@pytest.mark.slow
def test_test_needs_no_teacher(trained):
    dump = trained.root / 'predictions.pkl'
    output = run(
        sys.executable, TOOLS / 'test.py', trained.config,
        trained.work / 'epoch_1.pth', '--work-dir', trained.root / 'test',
        '--out', dump, '--cfg-options', *trained.options,
        'custom_hooks.0.teacher.checkpoint=/does/not/exist.pth',
        'custom_hooks.0.teacher.config=/does/not/exist.py',
    )  # fmt: skip
    assert val_map(output) == val_map(trained.output)
    assert len(pickle.loads(dump.read_bytes())) == 2


@pytest.mark.slow
def test_dist_train_and_dist_test(trained):
    (trained.root / 'start_gloo.py').write_text(GLOO)
    # A folder whose name a careless script would split.
    work = trained.root / 'work dist'
    config = trained.root / 'tiny_gloo.py'
    config.write_text(
        f"""
_base_ = ['{trained.config.name}']
custom_imports = dict(imports=['mmkd_plugin', 'start_gloo'])
model_wrapper_cfg = dict(type='MMDistributedDataParallel', device_ids=None)
"""
    )
    env = dict(
        PYTHONPATH=f'{REPO}:{trained.root}', PORT=str(29600 + os.getpid() % 99)
    )
    output = run(
        'bash', TOOLS / 'dist_train.sh', config, 2, '--work-dir', work,
        '--cfg-options', *trained.options, **env,
    )  # fmt: skip
    # Only one of them describes the training.
    assert output.count('    config  ') == output.count('CKDHook: ') == 1
    assert 'batches of 2 on each of 2 ranks, 1 steps per epoch' in output
    assert 'Epoch(train) [1][1/1]' in output  # 2 processes x 2 images
    assert ' loss_ckd: ' in output
    saved, _ = read_checkpoint(str(work / 'epoch_1.pth'))
    student = tiny.build_detector()
    assert saved.keys() == student.state_dict().keys()

    output = run(
        'bash', TOOLS / 'dist_test.sh', config, work / 'epoch_1.pth', 2,
        '--work-dir', work, '--cfg-options', *trained.options, **env,
    )  # fmt: skip
    assert len(val_map(output)) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    'arguments, expected',
    [
        ([], []),
        (['out dir', '--amp'], ['--work-dir', 'out dir', '--amp']),
        (['--resume', 'a b.pth'], ['--resume', 'a b.pth']),
    ],
)
def test_slurm_train(tmp_path, arguments, expected):
    srun = tmp_path / 'srun'
    srun.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    srun.chmod(0o755)
    output = run(
        'bash', TOOLS / 'slurm_train.sh', 'gpu', 'my job', 'c.py', *arguments,
        PATH=f'{tmp_path}:{os.environ["PATH"]}', GPUS='4', SRUN_ARGS='-w n1',
    )  # fmt: skip
    lines = output.splitlines()
    assert lines[:2] == ['--partition=gpu', '--job-name=my job']
    assert {'--ntasks=4', '--ntasks-per-node=4', '--gres=gpu:4'} <= set(lines)
    python = lines.index('python')
    assert lines[python - 2 : python] == ['-w', 'n1']
    assert lines[python + 1 :] == [
        '-u', str(TOOLS / 'train.py'), 'c.py',
        *expected[: 2 * ('--work-dir' in expected)],
        '--launcher', 'slurm',
        *expected[2 * ('--work-dir' in expected) :],
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    'script, needed',
    [('dist_train.sh', 2), ('dist_test.sh', 3), ('slurm_train.sh', 3)],
)
def test_scripts_say_how_they_are_used(script, needed):
    result = subprocess.run(
        ['bash', TOOLS / script, *['x'] * (needed - 1)],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2
    assert result.stderr.startswith('usage: ')


def load_tool(name):
    spec = importlib.util.spec_from_file_location(
        f'tool_{name}', TOOLS / f'{name}.py'
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def train_cfg(monkeypatch):
    """Call ``tools/train.py``; return the config that it would train."""
    tool = load_tool('train')

    def call(*argv):
        seen = []
        runner = types.SimpleNamespace(
            hooks=[],
            register_hook=lambda hook: None,
            train=lambda: None,
            logger=logging.getLogger('test'),
        )
        monkeypatch.setattr(
            tool, 'build_runner', lambda cfg: seen.append(cfg) or runner
        )
        for name in ('check_data', 'summarize'):
            monkeypatch.setattr(tool, name, lambda *args: None)
        monkeypatch.setattr(
            sys, 'argv', ['train.py', *[str(part) for part in argv]]
        )
        tool.main()
        return seen[0]

    return call


CKD = REPO / 'configs' / 'frcnn_r101_r18_ckd.py'


def test_defaults(train_cfg):
    cfg = train_cfg(CKD)
    assert cfg.work_dir == os.path.join('work_dirs', 'frcnn_r101_r18_ckd')
    assert cfg.launcher == 'none'
    assert cfg.optim_wrapper.type == 'OptimWrapper'
    assert not cfg.auto_scale_lr.enable
    assert not cfg.get('resume')
    assert cfg.data_root == 'data/coco/'


def test_amp(train_cfg):
    wrapper = train_cfg(CKD, '--amp').optim_wrapper
    assert wrapper.type == 'AmpOptimWrapper'
    assert wrapper.loss_scale == 'dynamic'
    assert wrapper.optimizer.lr == 0.02


def test_auto_scale_lr(train_cfg, tmp_path):
    assert train_cfg(CKD, '--auto-scale-lr').auto_scale_lr.enable
    bare = tmp_path / 'bare.py'
    bare.write_text(
        'model = train_dataloader = train_cfg = optim_wrapper = dict(a=1)\n'
    )
    with pytest.raises(SystemExit, match='base_batch_size'):
        train_cfg(bare, '--auto-scale-lr')


@pytest.mark.parametrize(
    'argv, load_from', [(['--resume'], None), (['--resume', 'a.pth'], 'a.pth')]
)
def test_resume(train_cfg, argv, load_from, tmp_path):
    cfg = train_cfg(CKD, '--work-dir', tmp_path, *argv)
    assert cfg.resume is True
    assert cfg.get('load_from') == load_from


def test_imports_may_be_added(train_cfg, tmp_path, monkeypatch):
    """MMEngine itself imports only what the file names."""
    (tmp_path / 'my_own_tap.py').touch()
    monkeypatch.syspath_prepend(tmp_path)
    option = 'custom_imports.imports=[mmkd_plugin,my_own_tap]'
    train_cfg(CKD)
    assert 'my_own_tap' not in sys.modules
    train_cfg(CKD, '--cfg-options', option)
    assert sys.modules.pop('my_own_tap')


@pytest.mark.parametrize('root', ['/elsewhere', '/elsewhere/'])
def test_data_root_moves_everything(train_cfg, root):
    cfg = train_cfg(
        CKD, '--cfg-options', f'data_root={root}',
        'val_dataloader.dataset.ann_file=mine.json',
    )  # fmt: skip
    for loader in ('train', 'val', 'test'):
        dataset = cfg[f'{loader}_dataloader'].dataset
        assert dataset.data_root == '/elsewhere/'
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        assert evaluator.ann_file == (
            '/elsewhere/annotations/instances_val2017.json'
        )
    assert cfg.val_dataloader.dataset.ann_file == 'mine.json'


def test_data_root_of_a_config_without_one(train_cfg, tmp_path):
    bare = tmp_path / 'bare.py'
    bare.write_text('model = dict()\n')
    with pytest.raises(SystemExit, match='no `data_root`'):
        train_cfg(bare, '--cfg-options', 'data_root=/elsewhere')


def test_bad_options_give_one_sentence(train_cfg, capsys):
    with pytest.raises(SystemExit, match="'nowhere.py' was not found"):
        train_cfg('nowhere.py')
    with pytest.raises(SystemExit, match='--cfg-options does not fit'):
        train_cfg(CKD, '--cfg-options', 'custom_hooks.7.tau=2')
    with pytest.raises(SystemExit) as error:
        train_cfg(CKD, '--cfg-options', 'data_root')
    assert error.value.code == 2
    assert "expected KEY=VALUE but got 'data_root'" in capsys.readouterr().err


@pytest.mark.parametrize(
    'error, sentence',
    [
        (URLError('no route'), 'no route.*init_cfg.checkpoint=FILE'),
        (FileNotFoundError('no a.json.'), 'no a.json. If.*data_root=/path'),
    ],
)
@pytest.mark.parametrize('name', ['train', 'test'])
def test_missing_files_give_one_sentence(monkeypatch, name, error, sentence):
    tool = load_tool(name)

    def fail(cfg):
        raise error

    monkeypatch.setattr(tool, 'build_runner', fail)
    # Any file that exists will do for the checkpoint.
    argv = [f'{name}.py', str(CKD)] + [__file__] * (name == 'test')
    monkeypatch.setattr(sys, 'argv', argv)
    with pytest.raises(SystemExit, match=sentence):
        tool.main()


def test_missing_checkpoint_gives_one_sentence(monkeypatch):
    tool = load_tool('test')
    monkeypatch.setattr(sys, 'argv', ['test.py', str(CKD), 'nowhere.pth'])
    with pytest.raises(SystemExit, match="'nowhere.pth' was not found"):
        tool.main()


def test_tools_take_configs_of_mmpretrain(train_cfg):
    mmpretrain = pytest.importorskip('mmpretrain')
    path = Path(mmpretrain.__file__).parent.joinpath(
        '.mim', 'configs', 'resnet', 'resnet18_8xb16_cifar10.py'
    )
    cfg = train_cfg(path, '--amp', '--auto-scale-lr')
    assert isinstance(cfg, Config)
    assert cfg.default_scope == 'mmpretrain'
