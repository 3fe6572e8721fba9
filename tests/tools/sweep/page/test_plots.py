"""Figures inside the page."""

import re
import xml.etree.ElementTree as ElementTree

import pytest
from page import plots

from tests.helpers.sweep_pages import gains, make_data


def texts(svg):
    return [
        ''.join(item.itertext()).strip()
        for item in ElementTree.fromstring(svg).iter()
        if item.tag.endswith('text')
    ]


@pytest.fixture
def data(tmp_path):
    runs = dict(student=gains(0, 0), _kd=gains(0.01, 0.02), ckd=gains(0.03))
    return make_data(tmp_path, runs)


def test_figures_have_no_colours_of_their_own(data):
    figures = [
        plots.plot_differences(data),
        plots.plot_metric(data, 'student'),
        plots.plot_losses(data, 'student')[0],
        plots.plot_classes({'_kd': dict(a=1.0)}, 'AP', ['student', '_kd']),
    ]
    for svg in figures:
        # Definitions are named by hashes, in `#m3f...` and `url(#p3f...)`.
        assert not re.search(r': ?#[0-9a-f]{6}\b', svg), svg
        assert 'role="img" aria-label="' in svg
        assert not re.search(r'<svg[^>]* width=', svg)
        assert 'var(--muted)' in svg
    names = [set(re.findall(r' id="([^"]+)"', svg)) for svg in figures]
    assert all(names)
    assert len(set.union(*names)) == sum(map(len, names))


def test_names_that_begin_with_a_line_are_in_the_legend(data):
    assert '\u200b_kd' in texts(plots.plot_metric(data, 'student'))
    assert '\u200b_kd' in texts(plots.plot_losses(data, 'student')[0])


def test_dollars_and_angles_are_text():
    results = dict(kd={'$x$ & <b>': 3.0, '$y': 4.0})
    found = texts(plots.plot_classes(results, 'AP (%)', ['kd']))
    assert '$x$ & <b>' in found and '$y' in found


def test_metric_is_a_mean_over_seeds(data, monkeypatch):
    shown = []
    monkeypatch.setattr(
        plots, 'inline', lambda figure, alt: shown.append(figure)
    )
    plots.plot_metric(data, 'student')
    (axis,) = shown[0].axes
    lines = {line.get_label(): line for line in axis.get_lines()}
    mean = lines['student']
    assert list(mean.get_xdata()) == [1, 2]
    assert list(mean.get_ydata()) == pytest.approx([0.2, 0.405])
    # Two seeds each and the mean; a single seed is its own mean.
    assert len(axis.get_lines()) == 3 + 3 + 1
    marks = {
        lines[name].get_marker() for name in ('student', '\u200b_kd', 'ckd')
    }
    assert len(marks) == 3
    plots.pyplot().close(shown[0])


def test_nothing_to_plot(tmp_path):
    once = {0: [0.4]}
    data = make_data(tmp_path, dict(student=once, kd=once, ckd={}))
    assert plots.plot_metric(data, 'student') is None
    for by_seed in data.logs.values():
        by_seed.clear()
    assert plots.plot_metric(data, 'student') is None
    assert plots.plot_losses(data, 'student') is None
    for row in data.rows.values():
        row['difference'] = None
    assert plots.plot_differences(data) is None


def test_no_more_runs_than_colours(tmp_path):
    runs = {f'run_{index}': gains(0.01 * index) for index in range(12)}
    data = make_data(tmp_path, runs, controls=dict(run_1=['run_11']))
    shown = data.drawn('run_0', plots.MOST)
    assert shown == ['run_0', *(f'run_{index}' for index in range(10, 4, -1))]
    svg = plots.plot_metric(data, 'run_0')
    assert [name for name in runs if name in texts(svg)] == sorted(
        shown, key=[*runs].index
    )
    # Controls come after all methods.
    assert data.drawn('run_0', None)[-1] == 'run_11'
