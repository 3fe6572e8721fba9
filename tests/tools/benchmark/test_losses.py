"""Time and memory of the losses, of a few rows."""

import importlib
import json
import sys
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).resolve().parents[3] / 'tools' / 'benchmark'


@pytest.fixture
def measure(monkeypatch, capsys):
    """Runs the tool in this process, and gives what it prints."""
    monkeypatch.syspath_prepend(FOLDER)
    tool = importlib.import_module('losses')

    def run(*args):
        monkeypatch.setattr(sys, 'argv', ['losses.py', *args])
        tool.main()
        return capsys.readouterr().out

    return run


def test_tables(measure, tmp_path):
    cases = ['KD/4x5', 'DKD/5x30', 'RLD/40x30', 'CKD/40x30', 'CKD/9x3']
    cases += ['SWAP/9x3', 'RC/9x3', 'REVISION/200x30', 'MLKD/9x3', 'RKD/5x4']
    cases += ['CC/5x4', 'AT/3x4x5', 'SP/3x4x5', 'CATKD/3x4x5', 'WKDL/9x4']
    cases += ['FitNet/3x4x5', 'VID/3x4x5', 'OFD/3x4x5']
    out = measure(
        *('--cases', *cases, '--rounds', '2', '--memory-limit', '1e-5'),
        *('--json', str(tmp_path / 'rows.json')),
    )
    head, _, *lines = out.splitlines()
    cells = [[x.strip() for x in line.split('|')[1:-1]] for line in lines]
    dtypes = ['float32', 'bfloat16']
    assert [x[:2] for x in cells] == [[c, d] for d in dtypes for c in cases]
    rows = json.loads((tmp_path / 'rows.json').read_text())
    for row, line in zip(rows, cells):
        assert len(line) == head.count('|') - 1
        naive = row['case'] != 'CKD/40x30'
        sides = ['ours', 'naive'] if naive else ['ours']
        assert list(row['bytes']) == list(row['seconds']) == sides
        assert ('not run' in line) == (not naive)
        for side in sides:
            assert len(row['seconds'][side]) == 2
            assert min(min(row['seconds'][side])) > 0
            _, shape = row['case'].split('/')
            rows_, classes, *_ = map(int, shape.split('x'))
            # The gradient at least, which is of the type of the logits.
            size = 4 if row['dtype'] == 'float32' else 2
            assert row['bytes'][side] >= size * rows_ * classes


@pytest.mark.parametrize(
    'case', ['RLD', 'FD/4x5', 'RLD/4', 'RLD/4xC', 'RLD/4x5x6', 'AT/4x5']
)
def test_what_is_no_case(measure, capsys, case):
    with pytest.raises(SystemExit):
        measure('--cases', case)
    assert 'expected LOSS/NxC with LOSS one of KD' in capsys.readouterr().err


@pytest.mark.skipif(
    torch.cuda.is_available(), reason='the allocator of CUDA rounds up'
)
def test_peak_memory(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    module = importlib.import_module('peak_memory')
    vector = torch.ones(1, 10000)

    def one_after_the_other():
        for _ in range(3):
            vector.exp()

    def both_at_once():
        return vector.exp(), vector.exp()

    def within_an_operator():
        return vector.logsumexp(1)

    for function, tensors in (
        (one_after_the_other, 1),
        (both_at_once, 2),
        (within_an_operator, 1),
    ):
        peak = module.peak_memory(function)
        assert 40000 * tensors <= peak < 40000 * tensors + 1000
