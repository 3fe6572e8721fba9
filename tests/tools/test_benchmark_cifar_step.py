"""Where the time of a step goes, on a few made-up images."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / 'tools' / 'benchmark' / 'cifar_step.py'


def measure(*args):
    return subprocess.run(
        [sys.executable, '-W', 'ignore', str(SCRIPT), *args],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'},
    )


def rows(text):
    """Name to numbers of each row of the tables."""
    lines = [line.split('|')[1:-1] for line in text.splitlines()]
    found = {}
    for name, *cells in (cells for cells in lines if len(cells) > 1):
        numbers = re.findall(r'\d+(?:\.\d+)?', ' '.join(cells))
        if numbers:
            found[name.strip()] = [float(number) for number in numbers]
    return found


def test_tables(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / 'train').mkdir()
    for label in range(100):
        tile = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(tile).save(tmp_path / 'train' / f'{label:03}.png')
    result = measure(
        *('--tiny', '--steps', '2', '--rounds', '1', '--threads', '1'),
        *('--cfg-options', f'data_root={tmp_path}/'),
        'train_dataloader.batch_size=8',
    )
    assert result.returncode == 0, result.stderr
    found = rows(result.stdout)
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


def test_config_without_a_teacher():
    result = measure(str(ROOT / 'configs' / 'cifar100' / 'resnet20.py'))
    assert result.returncode != 0
    assert 'one distillation hook' in result.stderr
