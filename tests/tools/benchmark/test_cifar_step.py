"""Where the time of a step goes, on a few made-up images."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.benchmarks import rows

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def images(tmp_path):
    """Made-up images of 100 classes."""
    rng = np.random.default_rng(0)
    (tmp_path / 'train').mkdir()
    for label in range(100):
        tile = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(tile).save(tmp_path / 'train' / f'{label:03}.png')
    return tmp_path


def test_tables(run_benchmark, images):
    out = run_benchmark(
        'cifar_step',
        *('--tiny', '--steps', '2', '--rounds', '1', '--threads', '1'),
        *('--cfg-options', f'data_root={images}/'),
        'train_dataloader.batch_size=8',
    )
    found = rows(out)
    variants = ['floor', 'plugin', 'per image', 'per image, stock']
    assert list(found)[:4] == variants
    for name in variants:
        # Two medians with quartiles, steps a second, two of the processor.
        assert len(found[name]) == 9
        assert min(found[name]) > 0
    assert found['floor'][-4:] == [1, 1, 1, 1]
    parts = {name: found[name] for name in list(found)[4:]}
    for name in (
        'network: teacher',
        'network: backward',
        'data: fetch',
        'DistillHook',
        'TermGuard',
        'ExactResumeHook',
        'ExactResumeHook: seed of the batch',
        'engine: parse_losses',
    ):
        assert parts[name][0] > 0
    total, share = parts.pop('sum')
    assert share == 100
    np.testing.assert_allclose(
        total, sum(ms for ms, _ in parts.values()), atol=0.02
    )


def test_config_without_a_teacher(run_benchmark):
    with pytest.raises(SystemExit, match='one distillation hook'):
        run_benchmark(
            'cifar_step', ROOT / 'configs' / 'cifar100' / 'resnet20.py'
        )


def test_config_with_a_loss_of_features(run_benchmark, images):
    loss = 'custom_hooks.0.losses.loss_hint'
    with pytest.raises(SystemExit, match='but the config has loss_hint'):
        run_benchmark(
            'cifar_step',
            ROOT / 'configs' / 'cifar100' / 'resnet56_resnet20.py',
            *('--tiny', '--steps', '1', '--rounds', '1', '--threads', '1'),
            *('--cfg-options', 'method=kd', f'data_root={images}/'),
            *(f'{loss}.type=FitNetLoss', f'{loss}.loss_weight=1.0'),
            'train_dataloader.batch_size=8',
        )
