"""Reading configs without running them."""

import config_text
import pytest
from mmengine.config import Config


def test_reads_what_mmengine_writes():
    cfg = dict(
        default_scope='mmdet',
        model=dict(
            type='FasterRCNN',
            sizes=((1, 2), [3.5, -1e-6]),
            parts=[dict(a=None, b=True), dict(type="it's")],
            # Not the names of arguments, which changes how it is written.
            schedule={'a.b': dict(c=1), 'd e': [], 'f': {}},
        ),
        long='x' * 200,
    )
    assert config_text.read_config(Config(cfg).pretty_text) == cfg


@pytest.mark.parametrize(
    'text',
    [
        'model = __import__("os").system("true")',
        'import os',
        'model = dict(a=open("x"))',
        'a = b = 1',
        'a.b = 1',
        'a = [',
        'print(1)',
    ],
)
def test_refuses_all_else(text):
    with pytest.raises(ValueError):
        config_text.read_config(text)
