"""Schedulers that are made for another length of the training."""

import pytest
import torch
from mmengine.registry import PARAM_SCHEDULERS
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop

from mmkd_plugin.engine.scheduler_length import misfits

EPOCH = 100  # iterations
COSINE = dict(type='CosineAnnealingLR')
STEPS = dict(type='MultiStepLR')
WARMUP = dict(type='LinearLR', by_epoch=False, begin=0, end=50)
# How a runner is told to step a scheduler every iteration.
CONVERTED = dict(by_epoch=True, convert_to_iter_based=True)


def told(*configs, epochs=15):
    """What is said of schedulers, which a runner builds in this way."""
    loop = EpochBasedTrainLoop.__new__(EpochBasedTrainLoop)
    loop._max_epochs, loop._max_iters = epochs, epochs * EPOCH
    return misfits([build(cfg, loop) for cfg in configs], loop)


def build(cfg, loop):
    by_epoch = cfg.get('by_epoch', True)
    end = loop.max_epochs if by_epoch else loop.max_iters
    weight = torch.nn.Parameter(torch.zeros(1))
    return PARAM_SCHEDULERS.build(
        dict(dict(end=end), **cfg),
        default_args=dict(
            optimizer=torch.optim.SGD([weight], lr=1.0), epoch_length=EPOCH
        ),
    )


@pytest.mark.parametrize('more', [{}, CONVERTED])
def test_fits(more):
    cosine = dict(COSINE, **more)
    assert not told(WARMUP, cosine)
    assert not told(WARMUP, dict(cosine, T_max=15))
    assert not told(WARMUP, dict(cosine, begin=5, T_max=10))
    # YOLOX: as long as if it had no beginning, and a constant end.
    last = dict(type='ConstantLR', factor=1, begin=14, end=15, **more)
    assert not told(dict(cosine, begin=1, T_max=14, end=14), last)
    assert not told(WARMUP, dict(STEPS, milestones=[8, 11], **more))
    assert not told(dict(STEPS, milestones=[150, 180, 210]), epochs=240)
    # A rate that stays, after the warm-up or always.
    assert not told(WARMUP)
    assert not told()
    # What is beyond the end of a scheduler is not reached on purpose.
    assert not told(dict(STEPS, milestones=[8, 11], end=99))


@pytest.mark.parametrize('more, unit', [({}, 1), (CONVERTED, EPOCH)])
def test_cosine_of_another_length(more, unit):
    words = 'iterations' if more else 'epochs'
    (text,) = told(WARMUP, dict(COSINE, T_max=10, **more))
    assert text == (
        f'CosineAnnealingLR comes down in {10 * unit} {words} and goes up '
        f'again after them, in a training of {15 * unit}'
    )
    (text,) = told(dict(COSINE, T_max=10, **more), epochs=3)
    assert text == (
        f'CosineAnnealingLR comes down in {10 * unit} {words}, of which the '
        f'training has {3 * unit}'
    )


def test_cosine_that_stops():
    (text,) = told(WARMUP, dict(COSINE, T_max=10, end=10))
    assert text == (
        'CosineAnnealingLR ends after 10 epochs, and no other changes lr '
        'until the end of the training after 15'
    )


def test_steps_that_are_not_reached():
    steps = dict(STEPS, milestones=[8, 11], end=12)
    (text,) = told(WARMUP, steps, epochs=3)
    assert text == (
        'MultiStepLR never comes to 8, 11 of its milestones, in a training '
        'of 3 epochs'
    )
    (text,) = told(WARMUP, steps, epochs=24)
    assert 'MultiStepLR ends after 12 epochs, and no other' in text


def test_warmup_longer_than_the_training():
    (text,) = told(dict(WARMUP, end=500), COSINE, epochs=3)
    assert text == (
        'LinearLR goes on until 500 iterations, and the training ends after '
        '300'
    )


def test_training_of_iterations():
    loop = IterBasedTrainLoop.__new__(IterBasedTrainLoop)
    loop._max_epochs, loop._max_iters = 1, 900
    cosine = dict(COSINE, by_epoch=False, T_max=600)
    (text,) = misfits([build(cosine, loop)], loop)
    assert 'in 600 iterations and goes up again' in text
    # It counts no epochs.
    assert not misfits([build(dict(COSINE, T_max=600), loop)], loop)


def test_what_a_runner_may_have():
    loop = EpochBasedTrainLoop.__new__(EpochBasedTrainLoop)
    loop._max_epochs, loop._max_iters = 15, 15 * EPOCH
    assert misfits(None, loop) == misfits([], loop) == []
    cosine = build(dict(COSINE, T_max=5), loop)
    several = dict(a=[], b=[cosine])
    assert misfits(several, loop) == misfits([cosine], loop)
    assert len(misfits(several, loop)) == 1
    assert misfits([cosine], object()) == []
