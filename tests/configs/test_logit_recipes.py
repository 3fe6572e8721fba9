"""Fragments of logits on small classifiers, in a step each."""

import copy

import pytest
import torch
from mmengine.registry import HOOKS, MODELS, DefaultScope
from torch.nn import functional as F

from mmkd_plugin.cli.method_option import use_method
from tests.helpers import tiny_cls
from tests.helpers.classifier_runs import connect, losses_of, make_runner
from tests.helpers.det_configs import CONFIGS, load

ALONE = ('swap', 'revision', 'function_matching')


def fragment(name):
    return load(CONFIGS / f'_base_/methods/{name}.py')


@pytest.fixture
def teacher(tmp_path):
    return tiny_cls.save_teacher(tmp_path / 'teacher.pth', width=8)


@pytest.mark.parametrize(
    'name', ['swap', 'rc', 'revision', 'mlkd', 'wkdl', 'cifar100_kd']
)
def test_one_step(name, tmp_path, teacher):
    distill = copy.deepcopy(fragment(name).distill)
    runner = make_runner(tmp_path, [dict(distill, teacher=teacher)])
    before = copy.deepcopy(runner.model.state_dict())
    runner.train()
    after = runner.model.state_dict()
    for key in ('backbone.conv1.weight', 'head.fc.weight'):
        assert not after[key].equal(before[key])
        assert after[key].isfinite().all()
    logged = runner.message_hub.log_scalars
    (term,) = distill.losses
    assert logged[f'train/{term}'].current() > 0
    own = 'kd_task' if name in ALONE else 'loss_cls'
    assert logged[f'train/{own}'].current() > 0
    assert fragment(name).distill.get('task_loss', True) == (name not in ALONE)


def test_function_matching(teacher):
    """Of mixed images, by the term alone."""
    seen = []
    recipe = fragment('function_matching')
    tiny_cls.build_classifier()
    cfg = tiny_cls.classifier_cfg()
    cfg.train_cfg = recipe.model.train_cfg
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(cfg)
    model.train()
    hook = HOOKS.build(dict(recipe.distill, teacher=teacher))
    connect(hook, model)
    (other,) = hook.distiller.teachers
    other.model.backbone.register_forward_pre_hook(
        lambda module, args: seen.append(args[0])
    )
    model.backbone.register_forward_pre_hook(
        lambda module, args: seen.append(args[0])
    )
    logits = []
    model.head.register_forward_hook(
        lambda module, args, output: logits.append(output)
    )
    torch.manual_seed(0)
    output = losses_of(model, 0, 1, 2, 3)
    theirs, ours = seen
    assert torch.equal(theirs, ours)
    plain = model.data_preprocessor(tiny_cls.batch(0, 1, 2, 3))['inputs']
    assert not torch.equal(ours, plain)
    loss, _ = model.parse_losses(output)
    (found,) = torch.autograd.grad(loss, logits[0], retain_graph=True)
    with torch.no_grad():
        target = other.model.head(other.model.extract_feat(theirs))
    wanted = F.kl_div(
        logits[0].log_softmax(1), target.softmax(1), reduction='batchmean'
    )
    torch.testing.assert_close(loss, wanted)
    (expected,) = torch.autograd.grad(wanted, logits[0])
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    'pair', ['imagenet/resnet34_resnet18', 'cifar100/resnet56_resnet20']
)
def test_recipe_for_a_pair(pair):
    cfg = load(CONFIGS / f'{pair}.py')
    alone = copy.deepcopy(cfg.model.head)
    use_method(cfg, 'function_matching')
    (hook,) = cfg.custom_hooks
    assert HOOKS.build(hook).distiller.task_loss is False
    assert cfg.model.head == alone
    cfg.model.data_preprocessor = cfg.data_preprocessor
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(cfg.model)
    (mixup,) = model.data_preprocessor.batch_augments.augments
    assert type(mixup).__name__ == 'Mixup' and mixup.alpha == 1


def test_weights_of_wkdl_are_those_of_the_pair():
    found = {}
    for pair in ('resnet32x4_resnet8x4', 'wrn_40_2_shufflev1'):
        cfg = load(CONFIGS / f'cifar100/{pair}.py')
        use_method(cfg, 'wkdl')
        loss = cfg.custom_hooks[0].losses.loss_wkdl
        found[pair] = loss.gamma, loss.tau
    assert list(found.values()) == [(600, 8), (200, 6)]


def test_method_with_less_of_the_cross_entropy():
    cfg = load(CONFIGS / 'cifar100/resnet56_resnet20.py')
    use_method(cfg, 'mlkd')
    assert cfg.model.head.loss.loss_weight == 0.1
