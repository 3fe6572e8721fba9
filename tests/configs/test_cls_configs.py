"""The names and settings of the configs for classification."""

import copy
import functools
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.registry import HOOKS, PARAM_SCHEDULERS, init_default_scope

from mmkd_plugin.cli import launch
from mmkd_plugin.cli.method_option import use_method
from tests.helpers.cls_configs import (
    ALONE,
    CKD,
    CONFIGS,
    DISTILLED,
    FOUND,
    LARGE,
    PAIRS,
    PUBLISHED,
    RLD,
    SHORT,
    SLOW,
    read,
    split,
)

mmpretrain = pytest.importorskip('mmpretrain')


def learning_rates(cfg, *epochs):
    """Learning rate in each of these epochs, counted from 0."""
    optimizer = torch.optim.SGD(
        [torch.zeros(1)], cfg.optim_wrapper.optimizer.lr
    )
    (scheduler,) = (
        PARAM_SCHEDULERS.build(entry, default_args=dict(optimizer=optimizer))
        for entry in cfg.param_scheduler
    )
    assert scheduler.by_epoch
    rates = []
    for _ in range(cfg.train_cfg.max_epochs):
        rates.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        scheduler.step()
    rates.append(optimizer.param_groups[0]['lr'])
    return [rates[epoch] for epoch in epochs]


def test_the_promised_configs_are_there():
    assert {*ALONE, *SHORT} <= {*FOUND}
    assert {*PAIRS} == {
        *(f'cifar100/{pair}' for pair in {**RLD, **CKD}),
        *(f'imagenet/{pair}' for pair in LARGE),
    }


@pytest.mark.parametrize('name', PAIRS)
def test_a_pair_distils_by_rld(name):
    assert read(name).method == 'rld'
    assert read(name).custom_hooks == read(f'{name}_rld').custom_hooks


@pytest.mark.parametrize('name', ALONE)
def test_schedule_of_a_student_alone(name):
    cfg = read(name)
    folder, stem = name.split('/')
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.momentum) == ('SGD', 0.9)
    if folder == 'cifar100':
        lr = 0.01 if stem in SLOW else 0.05
        assert cfg.train_dataloader.batch_size == 64
        assert optimizer.weight_decay == 5e-4
        epochs, drops = 240, (150, 180, 210)
    else:
        lr = 0.2
        assert cfg.train_dataloader.batch_size * 8 == 512
        assert cfg.auto_scale_lr.base_batch_size == 512
        assert optimizer.weight_decay == 1e-4
        epochs, drops = 100, (30, 60, 90)
    assert cfg.train_cfg.max_epochs == epochs
    assert 'custom_hooks' not in cfg
    for power, epoch in enumerate(drops):
        assert learning_rates(cfg, epoch - 1, epoch) == pytest.approx(
            [lr * 0.1**power, lr * 0.1 ** (power + 1)]
        )


@pytest.mark.parametrize('name', DISTILLED)
def test_training_is_that_of_the_student_alone(name):
    """A method adds its hook; what else it changes is written here."""
    folder, _, student, method = split(name)
    cfg = read(name).to_dict()
    alone = copy.deepcopy(read(f'{folder}/{student}').to_dict())
    for key in ('custom_hooks', 'teacher', 'distill', 'method', 'pairs'):
        cfg.pop(key, None)
    for one in (cfg, alone):
        one.pop('custom_imports', None)
    if method == 'kd':
        weight = 0.1 if folder == 'cifar100' else 0.5
        alone['model']['head']['loss']['loss_weight'] = weight
    if method == 'ckd':
        epochs = 480 if folder == 'cifar100' else 200
        alone['train_cfg']['max_epochs'] = epochs
        alone['param_scheduler'] = [
            dict(type='CosineAnnealingLR', T_max=epochs)
        ]
        if folder == 'cifar100':
            pair = name.split('/')[1].removesuffix('_ckd')
            alone['train_dataloader']['batch_size'] = CKD[pair][2]
    assert cfg == alone


@pytest.mark.parametrize(
    'name, lr, epochs',
    [
        ('cifar100/resnet56_resnet20_ckd', 0.05, 480),
        ('cifar100/resnet50_mobilenetv2_ckd', 0.01, 480),
        ('imagenet/resnet34_resnet18_ckd', 0.2, 200),
    ],
)
def test_schedule_of_ckd_is_a_cosine_to_zero(name, lr, epochs):
    rates = learning_rates(read(name), 0, epochs // 2, epochs)
    assert rates == pytest.approx([lr, lr / 2, 0], abs=1e-9)


@pytest.mark.parametrize('name', SHORT)
def test_short_and_equal_schedules(name):
    """Of the same networks, hooks and data as their namesakes."""
    stem, _, epochs = name.rpartition('_')
    cfg, base = read(name).to_dict(), read(stem).to_dict()
    assert cfg['train_cfg']['max_epochs'] == int(epochs[:-1])
    for key in ('model', 'val_dataloader', 'custom_hooks', 'randomness'):
        assert cfg.get(key) == base.get(key)
    optimizer = cfg['optim_wrapper']['optimizer']
    assert optimizer == base['optim_wrapper']['optimizer']


def test_students_of_the_plan_have_one_schedule(monkeypatch):
    monkeypatch.chdir(CONFIGS.parent)
    from sweep_plan import read_plan

    plan = read_plan('tools/sweep/plans/cifar100_short.py')
    assert len(plan.runs) == 10
    for student in ('resnet20', 'mobilenetv2'):
        found = []
        for name in plan.runs:
            if not name.startswith(student):
                continue
            run = plan.runs[name]
            cfg = Config.fromfile(run.config)
            options = dict(run.cfg_options)
            if 'method' in options:
                use_method(cfg, options.pop('method'))
            cfg.merge_from_dict(options)
            keys = ('train_cfg', 'param_scheduler', 'train_dataloader')
            found.append([cfg[key] for key in (*keys, 'optim_wrapper')])
        assert len(found) == 5
        assert found == found[:1] * 5


def wanted_settings(folder, pair, method):
    """Settings of the loss, and epochs of its warm-up."""
    if folder == 'imagenet':
        beta = LARGE[pair]
        return dict(
            rld=(dict(alpha=1, beta=beta, tau_scd=1, tau_mcd=1), 1),
            ckd=(dict(loss_weight=10, tau=1), 0),
            kd=(dict(loss_weight=0.5, tau=1), 0),
            dkd=(dict(alpha=1, beta=beta, tau=1), 1),
        )[method]
    if method == 'ckd':
        weight, tau, _ = CKD[pair]
        return dict(loss_weight=weight, tau=tau), 0
    return dict(
        rld=(dict(alpha=1, beta=8, tau_scd=4, tau_mcd=4), 20),
        kd=(dict(loss_weight=0.9, tau=4), 0),
        dkd=(dict(alpha=1, beta=RLD[pair], tau=4), 20),
    )[method]


@pytest.mark.parametrize('name', PUBLISHED)
def test_method_has_its_settings(name):
    folder, teacher, student, method = split(name)
    (entry,) = read(name).custom_hooks
    hook = HOOKS.build(entry)
    ((term, loss),) = hook.distiller.losses.items()
    settings, warmup = wanted_settings(folder, f'{teacher}_{student}', method)
    settings.setdefault('loss_weight', 1)
    assert {key: getattr(loss, key) for key in settings} == settings
    assert (hook.schedule.warmup, hook.schedule.by_epoch) == (warmup, True)


@pytest.mark.parametrize('name', DISTILLED)
def test_teacher_and_method_are_those_in_the_name(name):
    folder, teacher, _, method = split(name)
    (entry,) = read(name).custom_hooks
    (loss,) = HOOKS.build(entry).distiller.losses
    assert loss == f'loss_{method.partition("_")[0]}'
    if folder == 'cifar100':
        config = Path(entry.teacher.config)
        assert config.resolve() == CONFIGS / folder / f'{teacher}.py'
        assert entry.teacher.checkpoint == (
            f'checkpoints/cifar100/{teacher}.pth'
        )
    else:
        wanted = zoo()[f'{teacher}_8xb32_in1k']
        listed = wanted['Config'].removeprefix('configs/')
        assert entry.teacher.config == f'mmpretrain::{listed}'
        # The hosts of the zoo's forks differ.
        assert Path(entry.teacher.checkpoint).name == (
            Path(wanted['Weights']).name
        )


@pytest.mark.parametrize('teacher', ['resnet34', 'resnet50'])
def test_accuracy_of_teacher_is_the_published_one(teacher):
    text = CONFIGS.joinpath(
        f'_base_/teachers/imagenet_{teacher}.py'
    ).read_text()
    (written,) = re.findall(r'zoo: ([\d.]+) top-1 accuracy', text)
    metrics = zoo()[f'{teacher}_8xb32_in1k']['Results'][0]['Metrics']
    assert float(written) == metrics['Top 1 Accuracy']


@functools.cache
def zoo():
    """Name to entry of mmpretrain's ResNets."""
    yaml = pytest.importorskip('yaml')
    path = Path(mmpretrain.__file__).parent.joinpath(
        '.mim', 'configs', 'resnet', 'metafile.yml'
    )
    entries = yaml.safe_load(path.read_text())['Models']
    return {entry['Name']: entry for entry in entries}


@pytest.mark.parametrize('name', ['cifar100/resnet20', 'imagenet/resnet18'])
def test_best_checkpoint_is_chosen_by_a_metric_that_exists(name):
    from mmpretrain.structures import DataSample

    cfg = read(name)
    init_default_scope('mmpretrain')
    evaluator = Evaluator(copy.deepcopy(cfg.val_evaluator))
    sample = DataSample().set_gt_label(1).set_pred_score(torch.eye(6)[1])
    evaluator.process([sample])
    metrics = evaluator.evaluate(1)
    assert metrics[cfg.default_hooks.checkpoint.save_best] == 100


@pytest.mark.parametrize('name', ['cifar100/resnet20', 'imagenet/resnet18'])
def test_data_root_moves_all_data(name):
    parser = launch.build_parser('')
    path = str(CONFIGS / f'{name}.py')
    cfg = launch.load_config(
        parser.parse_args([path, '--cfg-options', 'data_root=/else/where'])
    )
    for key in ('train', 'val', 'test'):
        assert cfg[f'{key}_dataloader'].dataset.data_root == '/else/where/'
