"""Looking at figures that a tool has drawn."""

import pytest


@pytest.fixture
def caught(monkeypatch):
    """The figures that are closed, which stay open for the test."""
    plt = pytest.importorskip('matplotlib.pyplot')
    figures = []
    with monkeypatch.context() as patch:
        patch.setattr(plt, 'close', figures.append)
        yield figures
    for figure in figures:
        plt.close(figure)
