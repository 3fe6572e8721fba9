"""What a distilled step and the options of a teacher cost, on noise."""

import json
from pathlib import Path

import pytest
import torch

from tests.helpers.benchmarks import rows

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
DETECTOR = ROOT / 'configs' / 'bccd' / 'frcnn_r18w32_r18w8_ckd.py'
DENSE = DETECTOR.with_name('gfl_r18w32_r18w8_crosskd.py')
CLASSIFIER = ROOT / 'configs' / 'cifar100' / 'resnet56_resnet20.py'


@pytest.mark.parametrize(
    'config, size, samples',
    [
        (DETECTOR, (64, 96), 128),
        # The places of four levels, of two images.
        (DENSE, (64, 96), 2 * (16 * 24 + 8 * 12 + 4 * 6 + 2 * 3)),
        (CLASSIFIER, (32, 32), 2),
    ],
)
def test_step(run_benchmark, tmp_path, config, size, samples):
    out = run_benchmark(
        'step',
        config,
        *('--size', *size, '--batch', 2, '--rounds', 2),
        *('--json', tmp_path / 'found.json'),
    )
    found = json.loads((tmp_path / 'found.json').read_text())
    assert found['images'] == [2, 3, *size]
    assert found['samples'] == samples
    ms, memory = found['milliseconds'], found['peak_memory']
    assert list(ms) == list(memory) == ['student', 'teacher', 'distilled']
    assert all(part[c]['median'] > 0 for part in ms.values() for c in part)
    # The teacher runs while the student's maps are kept.
    assert memory['distilled'] > memory['student'] > 0
    assert memory['teacher'] > 0
    assert (
        0 < found['own_time']['backward'] < found['own_time']['milliseconds']
    )
    assert {'tap', 'DistillHook', 'TermGuard'} < set(found['parts'])
    printed = rows(out)
    for clock, share in found['overhead'].items():
        assert printed[f'overhead, by the {clock}'][0] == pytest.approx(
            abs(100 * share['median']), abs=0.06
        )
    assert printed['student'][-1] == pytest.approx(
        memory['student'] / 2**20, abs=0.06
    )


def test_overhead(run_benchmark):
    from step import overheads

    times = dict(
        student=[[10, 6], [10, 7]],
        teacher=[[4, 2], [5, 2]],
        distilled=[[15, 8], [14, 11]],
    )
    assert overheads(times, 0) == [0.25, -0.2]
    assert overheads(times, 1) == [0, 1]


def test_changes_of_logits(run_benchmark):
    from types import SimpleNamespace as Reading

    from teacher import changes

    wanted = [torch.tensor([[2.0, 1.0], [0.0, 4.0]])]
    found = [torch.tensor([[1.0, 2.0], [0.0, 4.0]])]
    student = torch.tensor([[0.0, 9.0], [0.0, 9.0]])
    assert changes(found, wanted, [Reading(student=student)]) == dict(
        largest_change=1.0,
        relative=0.25,
        other_choice=0.5,
        agreement=0.5,
    )


def test_teacher(run_benchmark, tmp_path):
    out = run_benchmark(
        'teacher',
        DETECTOR,
        *('--size', 64, 96, '--batches', 2, '--rounds', 1),
        *('--json', tmp_path / 'found.json'),
    )
    found = json.loads((tmp_path / 'found.json').read_text())
    assert found['samples'] == 256
    table = found['rows']
    assert table['none']['ratio']['median'] == 1
    assert table['none']['largest_change'] == 0
    for name in ('channels_last=True', 'fuse_bn=True'):
        assert 0 < table[name]['relative'] < 1e-4
    assert 1e-4 < table["precision='bf16'"]['relative'] < 0.2
    assert not any('compile' in name for name in table)
    assert set(rows(out)) == {'none', *table}
