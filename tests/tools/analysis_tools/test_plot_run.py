"""Plotting runs."""

import sys
from pathlib import Path

import plot_run
import pytest
from mmengine.config import Config

from mmkd_plugin.reports.curves import find_panels, points
from mmkd_plugin.reports.run_log import read_records
from tests.helpers.figures import caught  # noqa: F401
from tests.helpers.logs import METRIC, write_log

ALONE = dict(loss=[4, 3, 2, 1], loss_cls=[2, 2, 1, 1])
TAUGHT = dict(
    loss_cls=[2, 2, 1, 1],
    loss=[5, 4, 3, 2],
    loss_ckd=[1, 1, 1, 1],
    kd_agreement=[50, 60, 70, 80],
    kd_teacher_acc=[90, 90, 90, 90],
    kd_gap_ckd=[1.0, 0.9, 0.5, 0.1],
    acc=[50, 60, 70, 80],
)
RATES = ['kd_agreement (%)', 'kd_teacher_acc (%)']
PANELS = [METRIC, 'loss', 'loss_cls', 'loss_ckd', *RATES, 'kd_gap_ckd']


@pytest.fixture
def folders(tmp_path):
    for name, values in dict(alone=ALONE, taught=TAUGHT).items():
        write_log(tmp_path / name / 'seed_0', **values)
    return [tmp_path / name / 'seed_0' for name in ('alone', 'taught')]


def run(monkeypatch, *args):
    argv = ['plot_run.py', *map(str, args)]
    monkeypatch.setattr(sys, 'argv', argv)
    plot_run.main()


def write_config(folder, hooks):
    path = folder / '20260101_000000' / 'vis_data' / 'config.py'
    Config(dict(custom_hooks=hooks)).dump(path)


def panels_of(figure):
    return {axis.get_title('left'): axis for axis in figure.axes}


def test_panels_and_lines(folders, monkeypatch, caught, tmp_path):  # noqa: F811
    (folders[1] / 'teacher_metrics.json').write_text(
        f'{{"abc": {{"{METRIC}": 0.75}}}}'
    )
    files = [tmp_path / 'new' / f'a{suffix}' for suffix in ('.png', '.pdf')]
    run(monkeypatch, *folders, '--losses', '--out', *files)
    (figure,) = caught
    panels = panels_of(figure)
    # The metric comes first.
    assert [*panels][: len(PANELS)] == PANELS
    alone, taught = panels['loss'].lines
    assert list(taught.get_ydata()) == [5, 4, 3, 2]
    # In epochs of 26 iterations, as far as the log tells: 46 / 2 = 23.
    assert list(alone.get_xdata()) == pytest.approx(
        [10 / 23, 20 / 23, 36 / 23, 2]
    )
    assert alone.get_color() == panels[METRIC].lines[0].get_color()
    # Told apart without colours, too.
    assert alone.get_linestyle() != taught.get_linestyle()
    assert alone.get_marker() != taught.get_marker()
    assert not len(panels['loss_ckd'].lines[0].get_xdata())
    *_, taught, teacher = panels[METRIC].lines
    assert list(taught.get_xdata()) == [1, 2]
    assert list(taught.get_ydata()) == [0.1, 0.2]
    assert list(teacher.get_ydata()) == [0.75, 0.75]
    assert panels[METRIC].get_ylim()[1] > 0.75
    (legend,) = [
        legend
        for legend in [*figure.legends, *(a.get_legend() for a in figure.axes)]
        if legend
    ]
    assert [text.get_text() for text in legend.get_texts()] == [
        'alone', 'taught', 'the teacher'
    ]  # fmt: skip
    # Over more than half of the range: all of it.
    assert panels['kd_gap_ckd'].get_ylim() == pytest.approx((-0.03, 1.03))
    low, high = panels['kd_agreement (%)'].get_ylim()
    assert 40 < low < 50 and 80 < high < 90
    assert files[0].read_bytes()[:4] == b'\x89PNG'
    assert files[1].read_bytes()[:4] == b'%PDF'


@pytest.mark.parametrize(
    'hooks, args, losses',
    [
        # What the teacher adds, which the config tells.
        ([dict(type='CKDHook', teacher={})], [], ['loss_ckd']),
        (
            [dict(type='CKDHook', teacher={})],
            ['--losses'],
            ['loss', 'loss_cls', 'loss_ckd'],
        ),
        # Where that is not known, nothing is left out.
        (
            [dict(type='MyHook', teacher={})],
            [],
            ['loss', 'loss_cls', 'loss_ckd'],
        ),
    ],
)
def test_own_losses_are_left_out(
    folders,
    monkeypatch,
    caught,  # noqa: F811
    tmp_path,
    hooks,
    args,
    losses,  # noqa: F811
):
    write_config(folders[0], [])
    write_config(folders[1], hooks)
    run(monkeypatch, *folders, *args, '--out', tmp_path / 'a.png')
    (figure,) = caught
    titles = [axis.get_title('left') for axis in figure.axes]
    shown = [METRIC, *losses, *RATES, 'kd_gap_ckd']
    assert [title for title in titles if title] == shown


def test_a_run_alone(folders, monkeypatch, caught, tmp_path):  # noqa: F811
    write_config(folders[0], [])
    run(monkeypatch, folders[0], '--out', tmp_path / 'a.png')
    assert [*panels_of(caught[0])] == [METRIC]
    # Before its first validation there is nothing but losses.
    records = [dict(loss=2.0, loss_cls=1.0, iter=50, step=50)]
    assert find_panels(dict(a=records), terms=()) == ['loss', 'loss_cls']


def test_fractions_of_older_logs(monkeypatch, caught, tmp_path):  # noqa: F811
    taught = dict(TAUGHT, kd_agreement=[0.5, 0.6, 0.7, 0.8])
    taught.update(kd_teacher_acc=[0.9, 1.0, 0.9, 0.9])
    write_log(tmp_path / 'old', **taught)
    # A low rate in percent is not a fraction, because the other one is not.
    new = dict(TAUGHT, kd_agreement=[0.4, 0.5, 0.6, 0.7])
    write_log(tmp_path / 'new', **new)
    run(
        monkeypatch,
        tmp_path / 'old',
        tmp_path / 'new',
        '--out',
        tmp_path / 'a.png',
    )
    panels = panels_of(caught[0])
    old, new = panels['kd_agreement (%)'].lines
    assert list(old.get_ydata()) == pytest.approx([50, 60, 70, 80])
    assert list(new.get_ydata()) == [0.4, 0.5, 0.6, 0.7]
    assert panels['kd_agreement (%)'].get_ylim() == pytest.approx((-3, 103))
    old, new = panels['kd_teacher_acc (%)'].lines
    assert list(old.get_ydata()) == pytest.approx([90, 100, 90, 90])
    # A gap is from 0 to 1 in both.
    assert list(panels['kd_gap_ckd'].lines[0].get_ydata()) == [
        1,
        0.9,
        0.5,
        0.1,
    ]


def test_what_is_outside_is_written(monkeypatch, caught, tmp_path):  # noqa: F811
    falling = [50.0, 20.0, *(1 + 0.1 / (i + 1) for i in range(38))]
    write_log(tmp_path / 'a', loss=falling, loss_cls=[float('nan')] * 40)
    run(monkeypatch, tmp_path / 'a', '--out', tmp_path / 'a.png')
    panels = panels_of(caught[0])
    assert panels['loss'].get_ylim()[1] < 2
    assert panels['loss'].get_title('right') == 'up to 50'
    # A run without one finite value has an empty panel.
    assert not panels['loss_cls'].get_title('right')


def test_losses_far_apart(monkeypatch, caught, tmp_path):  # noqa: F811
    write_log(tmp_path / 'a', loss=[2.0, 1.9, 1.8, 1.7])
    write_log(tmp_path / 'b', loss=[60.0, 59.0, 59.0, 58.0])
    folders = tmp_path / 'a', tmp_path / 'b'
    run(monkeypatch, *folders, '--out', tmp_path / 'a.png')
    axis = panels_of(caught[0])['loss']
    assert axis.get_yscale() == 'log'
    labels = [text.get_text() for text in axis.get_yticklabels()]
    assert '10' in labels and not any('$' in label for label in labels)


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


def test_nothing_to_plot(monkeypatch, tmp_path):
    path = tmp_path / 'a' / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True)
    path.write_text('{"coco/segm_mAP": 0.5, "step": 1}\n')
    with pytest.raises(SystemExit, match='give --metrics of coco/segm_mAP'):
        run(monkeypatch, tmp_path, '--out', tmp_path / 'a.png')
    assert not (tmp_path / 'a.png').exists()
    args = '--metrics', 'coco/segm_mAP'
    run(monkeypatch, tmp_path, *args, '--out', tmp_path / 'a.png')
    assert (tmp_path / 'a.png').exists()
