"""Plotting runs."""

import sys
from pathlib import Path

import plot_run
import pytest

from mmkd_plugin.reports.curves import points
from mmkd_plugin.reports.run_log import read_records
from tests.helpers.figures import caught  # noqa: F401
from tests.helpers.logs import METRIC, write_log

ALONE = dict(loss=[4, 3, 2, 1], loss_cls=[2, 2, 1, 1])
TAUGHT = dict(
    loss_cls=[2, 2, 1, 1],
    loss=[5, 4, 3, 2],
    loss_ckd=[1, 1, 1, 1],
    kd_agreement=[0.5, 0.6, 0.7, 0.8],
    kd_teacher_acc=[0.9, 0.9, 0.9, 0.9],
    acc=[50, 60, 70, 80],
)
PANELS = [
    'loss',
    'loss_cls',
    'loss_ckd',
    'kd_agreement',
    'kd_teacher_acc',
    METRIC,
]


@pytest.fixture
def folders(tmp_path):
    for name, values in dict(alone=ALONE, taught=TAUGHT).items():
        write_log(tmp_path / name / 'seed_0', **values)
    return [tmp_path / name / 'seed_0' for name in ('alone', 'taught')]


def run(monkeypatch, *args):
    argv = ['plot_run.py', *map(str, args)]
    monkeypatch.setattr(sys, 'argv', argv)
    plot_run.main()


def test_panels_and_lines(folders, monkeypatch, caught, tmp_path):  # noqa: F811
    (folders[1] / 'teacher_metrics.json').write_text(
        f'{{"abc": {{"{METRIC}": 0.75}}}}'
    )
    files = [tmp_path / 'new' / f'a{suffix}' for suffix in ('.png', '.pdf')]
    run(monkeypatch, *folders, '--out', *files)
    (figure,) = caught
    assert [axis.get_title('left') for axis in figure.axes] == PANELS
    panels = dict(zip(PANELS, figure.axes))
    alone, taught = panels['loss'].lines
    assert list(taught.get_ydata()) == [5, 4, 3, 2]
    # In epochs of 26 iterations, as far as the log tells: 46 / 2 = 23.
    assert list(alone.get_xdata()) == pytest.approx(
        [10 / 23, 20 / 23, 36 / 23, 2]
    )
    assert alone.get_color() == panels[METRIC].lines[0].get_color()
    assert not len(panels['loss_ckd'].lines[0].get_xdata())
    *_, taught, teacher = panels[METRIC].lines
    assert list(taught.get_xdata()) == [1, 2]
    assert list(taught.get_ydata()) == [0.1, 0.2]
    assert list(teacher.get_ydata()) == [0.75, 0.75]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        'alone', 'taught', 'teacher'
    ]  # fmt: skip
    assert files[0].read_bytes()[:4] == b'\x89PNG'
    assert files[1].read_bytes()[:4] == b'%PDF'


def test_training_by_iteration():
    records = [
        dict(loss=2.0, iter=50, step=50),
        dict(loss=1.0, iter=100, step=100),
        {METRIC: 0.3, 'step': 100},
    ]
    assert points(records, 'loss', False) == ([50, 100], [2, 1])
    assert points(records, METRIC, False) == ([100], [0.3])


def test_epochs_beside_iterations(folders):
    """A run that counts epochs is shown in iterations beside one that does
    not."""
    records = read_records(folders[0])
    assert points(records, 'loss', False)[0] == [10, 20, 36, 46]
    assert points(records, METRIC, False)[0] == [23, 46]


@pytest.mark.parametrize(
    'paths, names',
    [
        (['w/kd/seed_0', 'w/ckd/seed_0'], ['kd', 'ckd']),
        (['w/kd/seed_0', 'w/kd/seed_1'], ['seed_0', 'seed_1']),
        (['w/a/seed_0', 'v/a/seed_1'], ['w/a/seed_0', 'v/a/seed_1']),
        (['w/kd'], ['kd']),
        (['a', 'a/b'], ['a', 'a/b']),
    ],
)
def test_short_names(paths, names):
    assert plot_run.short_names([Path(path) for path in paths]) == names


def test_several_teachers_have_no_line(tmp_path):
    for index, text in enumerate(
        ('{"a": {"x": 1, "y": 2}}', '{"b": {"x": 3}}')
    ):
        folder = tmp_path / str(index)
        folder.mkdir()
        (folder / 'teacher_metrics.json').write_text(text)
    folders = [*tmp_path.iterdir(), tmp_path / 'none']
    assert plot_run.read_teacher(folders) == dict(y=2)


@pytest.mark.parametrize(
    'args, message',
    [
        (['none', '--out', 'a.png'], 'none holds no log'),
        (
            ['RUN', '--out', 'a.png', '--metrics', 'mAP'],
            f"metric 'mAP': give one of {METRIC}, time",
        ),
        (['RUN', '--out', 'a.jpg'], "'a.jpg' does not end in .png, .pdf"),
        (['RUN', 'RUN', '--out', 'a.png'], 'expected 2 different --names'),
    ],
)
def test_what_is_wrong_is_said(folders, monkeypatch, capsys, args, message):
    args = [folders[0] if arg == 'RUN' else arg for arg in args]
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, *args)
    assert message in str(stop.value) + capsys.readouterr().err
