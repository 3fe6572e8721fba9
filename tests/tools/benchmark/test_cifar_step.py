"""Where the time of a step goes, on a few made-up images."""

from pathlib import Path

import numpy as np
import pytest
import torch
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


@pytest.mark.parametrize('method', ['at', 'rkd', 'catkd', 'mlkd'])
def test_methods(run_benchmark, images, method):
    """The bare loop has the losses of each kind."""
    out = run_benchmark(
        'cifar_step',
        *('--tiny', '--steps', '1', '--rounds', '1', '--threads', '1'),
        *('--cfg-options', f'method={method}', f'data_root={images}/'),
        'train_dataloader.batch_size=8',
    )
    assert rows(out)['floor'][0] > 0


def test_config_with_a_loss_of_something_else(run_benchmark, images):
    loss = 'custom_hooks.0.losses.loss_box'
    with pytest.raises(SystemExit, match='has no `roi_head`|RoI head'):
        run_benchmark(
            'cifar_step',
            ROOT / 'configs' / 'cifar100' / 'resnet56_resnet20.py',
            *('--tiny', '--steps', '1', '--rounds', '1', '--threads', '1'),
            *('--cfg-options', 'method=kd', f'data_root={images}/'),
            *(f'{loss}.type=BoxL1Loss', f'{loss}.loss_weight=1.0'),
            'train_dataloader.batch_size=8',
        )


@pytest.mark.parametrize(
    'loss',
    [
        dict(type='ATLoss', loss_weight=1.0),
        dict(type='SPLoss', loss_weight=1.0),
        dict(type='RKDLoss', distance_weight=1.0, angle_weight=1.0),
        dict(type='CATKDLoss', loss_weight=1.0, size=2, normalize=True),
        dict(type='KDLoss', tau=2.0),
    ],
    ids=lambda loss: loss['type'],
)
def test_bare_loop_compares_what_the_plugin_does(run_benchmark, loss):
    from bare_step import BareTerm

    from mmkd_plugin.distill.terms import build_terms, default_tap
    from tests.helpers import tiny_cls
    from tests.helpers.teachers import Shown

    student, teacher = map(tiny_cls.build_classifier, (0, 7))
    student.train(), teacher.eval()
    data = student.data_preprocessor(tiny_cls.batch(0, 1, 2), True)
    module, tap = build_terms(dict(loss_x=loss))['loss_x']
    tap = tap or default_tap(student)
    tap.attach(student, teacher)
    student(**data, mode='loss')
    wanted = module(*tap.take(Shown(teacher, data['inputs'])))
    tap.detach()

    term = BareTerm('loss_x', module, tap, student, teacher)
    term.open()
    logits = student(data['inputs'], mode='tensor')
    with torch.no_grad():
        taught = teacher(data['inputs'], mode='tensor')
    labels = torch.cat([sample.gt_label for sample in data['data_samples']])
    found = term(logits, taught, labels, torch.arange(3))
    torch.testing.assert_close(found, wanted)
