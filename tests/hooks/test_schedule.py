"""The factor of the distillation terms."""

from types import SimpleNamespace

import pytest
from mmengine.runner import IterBasedTrainLoop

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


class Iterations(IterBasedTrainLoop):
    """A loop of iterations without data."""

    def __init__(self):
        self._max_epochs, self._max_iters = 1, 90


@pytest.mark.parametrize(
    'kwargs, iterations, words',
    [
        ({}, False, 'from epoch 1 to the end'),
        (dict(begin=2, end=5), False, 'from epoch 3 to epoch 5'),
        (dict(warmup=4), False, 'growing linearly over the first 4 of them'),
        (dict(begin=9), False, 'from epoch 10 to the end'),
        (dict(begin=10), False, 'ends after epoch 10'),
        (dict(begin=89, by_epoch=False), True, 'from iteration 90 to the end'),
        (dict(begin=90, by_epoch=False), True, 'ends after iteration 90'),
        # How many iterations an epoch has depends on the data.
        (dict(begin=90, by_epoch=False), False, 'from iteration 91 to the'),
    ],
)
def test_schedule_in_words(kwargs, iterations, words):
    epochs = SimpleNamespace(max_epochs=10, max_iters=90)
    runner = SimpleNamespace(train_loop=Iterations() if iterations else epochs)
    text = Schedule(**kwargs).describe(runner)
    assert words in text
    assert ('never' in text) == ('ends after' in words)


def test_loop_without_a_length_never_ends():
    runner = SimpleNamespace(train_loop=object())
    assert Schedule(begin=9).describe(runner) == 'from epoch 10 to the end'
