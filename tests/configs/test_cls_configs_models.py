"""The models of the configs for classification, and a step of training."""

import copy
import functools
import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.registry import HOOKS, MODELS, DefaultScope

from mmkd_plugin.teachers.config import load_config
from tests.helpers.cls_configs import (
    ALONE,
    CIFAR,
    DISTILLED,
    IMAGENET,
    build,
    read,
    split,
)

pytestmark = pytest.mark.slow

pytest.importorskip('mmpretrain')


@pytest.fixture(scope='module')
def saved(tmp_path_factory):
    """Paths of weights, one a teacher's config."""
    folder = tmp_path_factory.mktemp('teachers')

    @functools.cache
    def save(config):
        path = folder / f'{Path(config).stem}.pth'
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            model = MODELS.build(load_config(config).model)
        torch.save(dict(state_dict=model.state_dict()), path)
        return str(path)

    return save


@pytest.mark.parametrize('name', ALONE)
def test_model_is_the_one_in_the_name(name):
    folder, stem = name.split('/')
    model = build(read(name))
    wanted = dict(cifar100=CIFAR, imagenet=IMAGENET)[folder][stem]
    assert sum(p.numel() for p in model.parameters()) == wanted
    # The weights of the last layer are those of PyTorch.
    before = model.head.fc.weight.clone()
    model.init_weights()
    assert torch.equal(model.head.fc.weight, before)


@pytest.mark.parametrize('name', DISTILLED)
def test_one_step_of_training(name, saved):
    from mmpretrain.structures import DataSample

    folder, _, _, method = split(name)
    method = method.partition('_')[0]
    count, size, classes = dict(cifar100=(4, 32, 100), imagenet=(2, 64, 1000))[
        folder
    ]
    cfg = copy.deepcopy(read(name))
    torch.manual_seed(0)
    model = build(cfg).train()
    (entry,) = cfg.custom_hooks
    entry.teacher.checkpoint = saved(entry.teacher.config)
    hook = HOOKS.build(entry)
    loop = SimpleNamespace(dataloader=SimpleNamespace(dataset=None))
    hook.before_train(
        SimpleNamespace(
            train_loop=loop, model=model, logger=logging.getLogger('test')
        )
    )
    # It sees the images as its student does.
    assert 'converted' not in str(hook.distiller.teachers[0])
    images = torch.randint(256, (count, 3, size, size), dtype=torch.uint8)
    labels = torch.randint(classes, (count,))
    batch = dict(
        inputs=images,
        data_samples=[DataSample().set_gt_label(label) for label in labels],
    )
    losses = model(**model.data_preprocessor(batch, True), mode='loss')
    hook.after_train(None)

    term, weight = losses[f'loss_{method}'], model.head.fc.weight
    assert losses['loss_cls'].isfinite() and losses['loss_cls'] > 0
    assert term.isfinite() and term > 0
    (gradient,) = torch.autograd.grad(term, weight, retain_graph=True)
    assert gradient.isfinite().all() and gradient.any()
    model.zero_grad()
    model.parse_losses(losses)[0].backward()
    for parameter in model.parameters():
        assert parameter.grad.isfinite().all()
    assert not torch.equal(weight.grad, gradient)
    assert weight.grad.any()
