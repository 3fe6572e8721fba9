"""Running the benchmarks, and reading what they print."""

import importlib
import re
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / 'tools' / 'benchmark'


@pytest.fixture
def run_benchmark(monkeypatch, capsys):
    """Run a benchmark in this process; return what it prints."""

    def run(name, *args):
        argv = [f'{name}.py', *map(str, args)]
        monkeypatch.setattr(sys, 'argv', argv)
        importlib.import_module(name).main()
        return capsys.readouterr().out

    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return run


def rows(text):
    """Name to numbers of each row of the tables."""
    lines = [line.split('|')[1:-1] for line in text.splitlines()]
    found = {}
    for name, *cells in (cells for cells in lines if len(cells) > 1):
        numbers = re.findall(r'\d+(?:\.\d+)?', ' '.join(cells))
        if numbers:
            found[name.strip()] = [float(number) for number in numbers]
    return found
