"""A schedule of a config, in another number of epochs."""

import pytest
from mmengine.config import Config
from short_schedule import squeeze
from sweep_plan import PlanError


def config(then, *schedulers, **changes):
    loop = dict(type='EpochBasedTrainLoop', max_epochs=then, val_interval=4)
    return Config(
        dict(train_cfg=loop, param_scheduler=list(schedulers), **changes)
    )


def schedulers(then, now, *parts):
    return squeeze(config(then, *parts), now)['param_scheduler']


def steps(*milestones, **changes):
    return dict(type='MultiStepLR', milestones=[*milestones], **changes)


WARMUP = dict(type='LinearLR', by_epoch=False, begin=0, end=500)


def test_own_length_changes_nothing():
    assert squeeze(config(12, WARMUP, steps(8, 11)), 12) == {}


def test_loop():
    found = squeeze(config(12, steps(8, 11)), 3)
    assert found['train_cfg'] == dict(
        type='EpochBasedTrainLoop', max_epochs=3, val_interval=1
    )
    cfg = config(300)
    cfg.train_cfg.update(val_begin=150, dynamic_intervals=[(280, 1)])
    loop = squeeze(cfg, 2)['train_cfg']
    assert loop['val_begin'] == 1 and loop['dynamic_intervals'] == [(1, 1)]
    # Longer than the training would be no validation at all.
    cfg.train_cfg.update(val_begin=1000, val_interval=1000)
    loop = squeeze(cfg, 2)['train_cfg']
    assert (loop['val_begin'], loop['val_interval']) == (2, 2)


def test_warmup_in_iterations_is_kept():
    assert schedulers(12, 3, WARMUP)[0] == WARMUP


@pytest.mark.parametrize(
    'now, expected',
    [(24, [16, 22]), (6, [4, 5]), (4, [2, 3]), (3, [1, 2])],
)
def test_milestones(now, expected):
    part = steps(8, 11, begin=0, end=12, by_epoch=True)
    (found,) = schedulers(12, now, part)
    assert found == {**part, 'milestones': expected, 'end': now}


def test_milestones_that_are_never_reached_stay_so():
    (found,) = schedulers(12, 6, steps(8, 12, 100))
    assert found['milestones'] == [4, 7, 7]


def test_cosine():
    whole = dict(type='CosineAnnealingLR', T_max=10, eta_min=1e-5)
    assert schedulers(10, 1, whole)[0] == {**whole, 'T_max': 1}
    half = dict(type='CosineAnnealingLR', begin=150, end=300, T_max=150)
    assert schedulers(300, 11, half)[0] == dict(half, begin=6, end=11, T_max=5)
    ramp = dict(type='LinearLR', end=5, convert_to_iter_based=True)
    assert schedulers(300, 10, ramp, half)[0]['end'] == 1


def test_factors():
    exponential = dict(type='ExponentialLR', gamma=0.9)
    (found,) = schedulers(12, 6, exponential)
    assert found['gamma'] ** 6 == pytest.approx(0.9**12)
    every = dict(type='mmengine.StepLR', step_size=30)
    assert schedulers(90, 9, every)[0]['step_size'] == 3


def test_one_scheduler_that_is_no_list():
    cfg = config(12)
    cfg.param_scheduler = steps(6)
    assert squeeze(cfg, 6)['param_scheduler'] == [steps(3)]


def test_hooks():
    hooks = [
        dict(type='PipelineSwitchHook', switch_epoch=280),
        dict(type='YOLOXModeSwitchHook', num_last_epochs=15),
        dict(type='SwitchRecipeHook', schedule=[dict(action_epoch=100)]),
        dict(type='RLDHook', teacher={}, warmup=20, begin=0, end=280),
        dict(type='RLDHook', teacher={}, warmup=20, by_epoch=False),
        dict(type='EMAHook', momentum=0.1),
    ]
    found = squeeze(config(300, custom_hooks=hooks), 30)['custom_hooks']
    assert found == [
        dict(type='PipelineSwitchHook', switch_epoch=28),
        dict(type='YOLOXModeSwitchHook', num_last_epochs=2),
        dict(type='SwitchRecipeHook', schedule=[dict(action_epoch=10)]),
        dict(type='RLDHook', teacher={}, warmup=2, begin=0, end=28),
        hooks[4],
        hooks[5],
    ]


def test_the_config_is_not_changed():
    cfg = config(12, steps(8, 11), custom_hooks=[dict(switch_epoch=4)])
    before = cfg.to_dict()
    squeeze(cfg, 6)
    assert cfg.to_dict() == before


COSINE = dict(type='CosineAnnealingLR', T_max=9000, by_epoch=False)
NO_ROOM = dict(type='StepLR', step_size=30)


@pytest.mark.parametrize(
    'then, now, part, expected',
    [
        (12, 2, steps(8, 11), '8, 11 of 12 epochs: take 3 or more'),
        (240, 4, steps(150, 180, 210), 'take 6 or more'),
        (12, 6, COSINE, 'a CosineAnnealingLR that counts iterations'),
        (12, 6, dict(type='LinearLR', by_epoch=False), 'counts iterations'),
        (12, 6, dict(type='OneCycleLR', total_steps=9), 'does not know how'),
        (90, 4, NO_ROOM, 'a StepLR of every 30 of 90 epochs'),
        (300, 10, dict(type='PolyLR', begin=275, end=280), 'from epoch 275'),
    ],
)
def test_what_cannot_be_moved(then, now, part, expected):
    with pytest.raises(PlanError, match=expected):
        schedulers(then, now, part)


def test_other_trainings_and_hooks_are_refused():
    for cfg, expected in (
        (Config(dict(train_cfg=dict(max_iters=9))), 'has no `max_epochs`'),
        (config(9, custom_hooks=[dict(epochs=3)]), 'custom_hooks.0.epochs'),
        (config(9, custom_hooks=[dict(a=[dict(last_epochs=3)])]), 'a.0.last'),
    ):
        with pytest.raises(PlanError, match=expected):
            squeeze(cfg, 3)
    cfg = config(9)
    cfg.param_scheduler = dict(generator=[steps(3)])
    with pytest.raises(PlanError, match='several optimizers'):
        squeeze(cfg, 3)
