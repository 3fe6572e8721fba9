"""Whatever stands in the hooks of a config: it trains, or says why not."""

import random
import re
from collections import Counter
from urllib.error import URLError

import pytest

from tests.helpers.commands import OPEN
from tests.helpers.mutations import good, mutate

pytestmark = pytest.mark.slow

SEED = 0
TRIALS = 200


def outcomes(world, seed, trials):
    """Train by mutated configs; yield each with how it ended."""
    # Some texts are URLs.
    world.monkeypatch.setattr(OPEN, no_network)
    rng = random.Random(seed)
    for number in range(trials):
        # A detector costs three times as much.
        kind = 'classifier' if number % 4 else 'detector'
        hooks = mutate(rng, good(rng, kind))
        ended = world.use(kind).train(
            custom_hooks=hooks, default_hooks=dict(checkpoint=None)
        )
        yield hooks, ended


def no_network(*args, **kwargs):
    raise URLError('no route to host')


def kind_of(ended):
    if ended.code == 0:
        return 'trained'
    if ended.code in (1, 2) and ended.error and '\n' not in ended.error:
        return 'sentence'
    return 'traceback'


def test_configs_without_mistake_train(world):
    for kind in ('classifier', 'detector'):
        for seed in range(4):
            hooks = good(random.Random(seed), kind)
            ended = world.use(kind).train(custom_hooks=hooks)
            assert ended.code == 0, (hooks, ended.output[-2000:])


def test_mutated_configs_train_or_end_in_a_sentence(world, capsys):
    counts, faults, sentences = Counter(), [], set()
    for hooks, ended in outcomes(world, SEED, TRIALS):
        kind = kind_of(ended)
        counts[kind] += 1
        if kind == 'traceback':
            faults.append((hooks, ended.output[-1500:]))
        elif kind == 'sentence':
            sentences.add(re.sub(r"'.*|\d.*", '', ended.error)[:40])
    with capsys.disabled():
        print(f'\n{dict(counts)}, {len(sentences)} kinds of sentences')
    assert not faults, faults[0]
    assert counts['trained'] + counts['sentence'] == TRIALS
    # Neither is the exception, so that the test can fail.
    assert min(counts['trained'], counts['sentence']) >= TRIALS // 10
    assert len(sentences) >= 20
