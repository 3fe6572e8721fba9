"""What a cached teacher costs, on a few made-up images."""

import numpy as np
import pytest
from PIL import Image

from tests.helpers.benchmarks import rows

pytestmark = pytest.mark.slow


def test_table(run_benchmark, tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / 'train').mkdir()
    for label in range(100):
        tile = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(tile).save(tmp_path / 'train' / f'{label:03}.png')
    (tmp_path / 'caches').mkdir()
    out = run_benchmark(
        'cached_teacher',
        *('--steps', '2', '--rounds', '1', '--threads', '1'),
        *('--folder', tmp_path / 'caches'),
        *('--cfg-options', f'data_root={tmp_path}/'),
        *(
            'train_dataloader.batch_size=4',
            'train_dataloader.dataset.padding=1',
        ),
    )
    found = rows(out)
    assert list(found) == [
        'student alone',
        'online teacher',
        'filling',
        'full cache',
    ]
    # Three of time with its quartiles, of the processor, and ratios.
    assert {len(numbers) for numbers in found.values()} == {8}
    assert min(map(min, found.values())) > 0
    assert found['student alone'][-4:] == [1, 1, 1, 1]
    assert not list((tmp_path / 'caches').iterdir())
