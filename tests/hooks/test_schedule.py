"""The factor of the distillation terms."""

import pytest

from mmkd_plugin.hooks.schedule import Schedule


def test_warmup_begin_and_end():
    schedule = Schedule(warmup=4, begin=2, end=8)
    factors = [schedule.factor_at(step) for step in range(1, 10)]
    assert factors == [0, 0, 0.25, 0.5, 0.75, 1, 1, 1, 0]


def test_full_weight_without_a_schedule():
    schedule = Schedule()
    assert schedule.factor_at(1) == schedule.factor_at(99) == 1


def test_first_epoch_of_a_warmup_counts():
    assert Schedule(warmup=20).factor_at(1) == 1 / 20


@pytest.mark.parametrize('by_epoch, wanted', [(True, 0.75), (False, 0.25)])
def test_counts_what_it_is_told_to(by_epoch, wanted):
    class Runner:
        epoch, iter = 2, 0

    schedule = Schedule(warmup=4, by_epoch=by_epoch)
    assert schedule.factor_now(Runner) == wanted
