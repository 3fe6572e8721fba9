"""How the cost of a step grows, at two points of two axes."""

import json

import pytest
from PIL import Image

from tests.helpers.benchmarks import rows

pytestmark = pytest.mark.slow


def test_growth(run_benchmark, tmp_path):
    out = run_benchmark(
        'growth',
        *('--axes', 'rois', 'size', 'processes', '--points', 1),
        *('--rounds', 2, '--json', tmp_path / 'found.json'),
        *('--out', tmp_path / 'growth.png'),
    )
    found = json.loads((tmp_path / 'found.json').read_text())
    assert list(found) == ['rois', 'size', 'processes']
    printed = rows(out)
    for axis, (row,) in found.items():
        ms = row['milliseconds']
        assert list(ms) == ['student', 'teacher', 'distilled']
        assert min(x['median'] for x in ms.values()) > 0
        assert row['rois'] == (64 if axis == 'rois' else 256)
        assert row['size'] == ([96, 128] if axis == 'size' else [192, 256])
    name = 'RoIs per image: 64'
    ratio = found['rois'][0]['ratio']
    assert printed[name][3:] == pytest.approx(
        [ratio['median'], *ratio['quartiles']], abs=0.006
    )
    assert 'pixels per image: 96 x 128' in printed
    with Image.open(tmp_path / 'growth.png') as picture:
        assert len(picture.convert('L').getcolors()) > 50
