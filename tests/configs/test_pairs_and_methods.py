"""Every method with every pair of classifiers: `--cfg-options method=NAME`."""

import copy
import functools
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import HOOKS

from mmkd_plugin.cli.method_option import use_method
from mmkd_plugin.teachers import Teacher
from mmkd_plugin.teachers.config import build_model, load_config
from tests.helpers.cls_configs import CONFIGS, PAIRS, build

pytest.importorskip('mmpretrain')

ROOT = CONFIGS.parent
# Those of the table on the page.
METHODS = re.findall(
    r'`(\w+)`',
    ''.join(
        re.findall(
            r'^\| .+ \|.*\|.*\|(.+)\|.*\|$',
            ROOT.joinpath('docs', 'classification.md')
            .read_text()
            .partition('## Methods\n')[2]
            .partition('## CIFAR-100\n')[0],
            re.M,
        )
    ).partition('`method=`')[2],
)
# Those of the stages, which each family of networks has elsewhere.
OF_STAGES = ['fitnet', 'at', 'ofd', 'reviewkd', 'simkd']
# One of each family of networks, and of each kind of pair.
FAMILIES = [
    'cifar100/resnet56_resnet20',
    'cifar100/vgg13_mobilenetv2',
    'cifar100/resnet32x4_shufflev1',
    'cifar100/wrn_40_2_wrn_16_2',
]


@functools.cache
def pair(name):
    return Config.fromfile(CONFIGS / f'{name}.py')


def pair_by(name, method):
    cfg = copy.deepcopy(pair(name))
    use_method(cfg, method)
    return cfg


def test_the_plan_has_all_of_them():
    plan = Config.fromfile(ROOT / 'tools/sweep/plans/cifar100_methods.py')
    runs = {*plan.runs} - {'student'}
    assert runs | {'ckd'} == {*METHODS}
    assert len(METHODS) == 24


@pytest.mark.parametrize('method', METHODS)
def test_every_pair_builds(method):
    for name in PAIRS:
        if method == 'ckd_240e' and name.startswith('imagenet/'):
            continue
        cfg = pair_by(name, method)
        assert cfg.method == method
        (entry,) = cfg.custom_hooks
        hook = HOOKS.build(entry)
        (loss,) = hook.distiller.losses
        assert 'loss' in loss


# Pairs whose authors' weight of ReviewKD is not 5, nor unpublished.
REVIEWED = dict(
    resnet56_resnet20=0.6,
    resnet110_resnet20=0.6,
    resnet110_resnet32=1.0,
    resnet32x4_shufflev2=8.0,
    resnet50_mobilenetv2=30.0,
)


@pytest.mark.parametrize(
    'name', [name for name in PAIRS if name.startswith('cifar100/')]
)
def test_settings_of_trained_parts(name):
    pair = name.removeprefix('cifar100/')
    (reviewkd,), (fitnet,) = (
        pair_by(name, method).custom_hooks for method in ('reviewkd', 'fitnet')
    )
    loss = reviewkd.losses.loss_reviewkd
    assert (loss.loss_weight, reviewkd.warmup) == (REVIEWED.get(pair, 5.0), 20)
    loss = fitnet.losses.loss_fitnet
    assert loss.loss_weight == 100.0
    # The maps of a WRN are signed.
    signed = pair.startswith('wrn')
    assert loss.regressor == ('conv_bn' if signed else 'conv_bn_relu')


@pytest.fixture(scope='module')
def saved(tmp_path_factory):
    """Paths of random weights, one for each teacher's config."""
    folder = tmp_path_factory.mktemp('teachers')

    @functools.cache
    def save(config):
        path = folder / f'{Path(config).stem}.pth'
        torch.save(build_model(load_config(config)).state_dict(), path)
        return str(path)

    return save


@pytest.mark.slow
@pytest.mark.parametrize(
    'method, name',
    [
        *((method, FAMILIES[0]) for method in METHODS),
        *(
            (method, name)
            for method in OF_STAGES
            for name in FAMILIES[1:]
            # Refused: its stages have no ReLU.
            if (method, name) != ('ofd', 'cifar100/vgg13_mobilenetv2')
        ),
    ],
)
def test_a_step(method, name, saved, request):
    """Taps, channels and losses fit the networks, with random weights."""
    cfg = pair_by(name, method)
    (entry,) = cfg.custom_hooks
    distiller = HOOKS.build(entry).distiller
    model = build(cfg).train()
    weights = saved(entry.teacher.config)
    teacher = Teacher(entry.teacher.config, weights)
    # The model is shared with other tests.
    request.addfinalizer(distiller.detach)
    distiller.attach(model, [teacher])
    for loss in distiller.losses.values():
        if hasattr(loss, 'see_dataset'):
            loss.see_dataset(torch.arange(50000) % 100)
    images = torch.randint(256, (4, 3, 32, 32), dtype=torch.uint8)
    data = model.data_preprocessor(
        dict(inputs=images, data_samples=samples(4)), True
    )
    losses = model(**data, mode='loss')
    assert [name for name in losses if 'loss' in name][:1] == ['loss_cls'] or (
        not distiller.task_loss
    )
    for term, loss in distiller.losses.items():
        assert losses[term].isfinite()
        (gradient,) = torch.autograd.grad(
            losses[term], next(model.backbone.parameters()), retain_graph=True
        )
        assert gradient.ne(0).any()
        for parameter in loss.parameters():
            assert (
                torch.autograd.grad(
                    losses[term], parameter, retain_graph=True
                )[0]
                .isfinite()
                .all()
            )


def samples(count):
    from mmpretrain.structures import DataSample

    found = []
    for index in range(count):
        sample = DataSample().set_gt_label(index)
        sample.set_field(index, 'sample_idx', field_type='metainfo')
        found.append(sample)
    return found
