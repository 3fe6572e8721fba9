"""What contributors run is what the checks run."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_pre_commit_has_the_ruff_of_the_requirements():
    pinned, ours = (
        set(re.findall(r'ruff==([\d.]+)', (ROOT / name).read_text()))
        for name in ('requirements/tests.txt', '.pre-commit-config.yaml')
    )
    assert len(pinned) == 1
    assert ours == pinned
