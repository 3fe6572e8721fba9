"""Every kind of bad input gets the sentence that docs/errors.md shows."""

import re

import pytest

from tests.errors.cases import CASES
from tests.helpers.errors_page import ROWS, pattern


@pytest.mark.parametrize('name', CASES)
def test_printed(name, world):
    ended = CASES[name](world)
    assert ended.error, ended.output[-3000:]
    assert ended.code in (1, 2)
    assert re.fullmatch(pattern(ROWS[name]), ended.error), ended.error
    assert not list(world.folder.glob('work/**/*.pth'))


@pytest.mark.slow
def test_the_usual_config_trains(world):
    for kind in ('classifier', 'detector'):
        ended = world.use(kind).train()
        assert ended.code == 0, ended.output[-3000:]
