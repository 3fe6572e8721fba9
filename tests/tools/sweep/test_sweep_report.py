"""Statistics, and tables of what there is."""

import json
from pathlib import Path

import pytest
import sweep_report

from tests.helpers.sweeps import PLAN, out, report


def test_interval():
    # Of Student's tables: t(0.975) is 12.706 and 4.303 for 1 and 2 degrees.
    mean, low, high = sweep_report.interval([1.0, 2.0])
    assert (mean, high - mean) == pytest.approx((1.5, 12.706 * 0.5), rel=1e-4)
    mean, low, high = sweep_report.interval([1.0, 2.0, 6.0])
    # Standard deviation sqrt((4 + 1 + 9) / 2), over sqrt(3).
    half = 4.303 * (7 / 3) ** 0.5
    assert (mean, low, high) == pytest.approx(
        (3, 3 - half, 3 + half), rel=2e-4
    )
    assert sweep_report.interval([4.0]) == (4, None, None)


def write_results(values, best=99.0, metric='accuracy/top1'):
    for name, by_seed in values.items():
        for seed, value in by_seed.items():
            folder = out(name, f'seed_{seed}')
            folder.mkdir(parents=True, exist_ok=True)
            content = dict(
                metric=metric,
                last=value,
                best=best,
                attempts=[dict(commit='abc')],
            )
            (folder / 'result.json').write_text(json.dumps(content))


def test_report_of_an_unfinished_sweep(do):
    write_results(
        dict(student={0: 70.0, 1: 71.0, 2: 75.0}, kd={2: 76.0, 0: 73.0})
    )
    assert do(PLAN, '--report-only') == 0
    assert not Path('journal').exists()
    rows = report()
    assert rows['student']['mean'] == 72
    assert rows['student']['std'] == pytest.approx(7**0.5)
    assert rows['student']['difference'] is None
    gain = rows['kd']['difference']
    assert gain['values'] == {'0': 3, '2': 1}
    # Standard deviation sqrt(2), over sqrt(2); t of one degree.
    assert (gain['mean'], gain['high']) == pytest.approx(
        (2, 2 + 12.706), rel=1e-4
    )
    lines = out('results.md').read_text().splitlines()
    assert lines[0] == 'accuracy/top1 at the last validation.'
    cells = [
        [cell.strip() for cell in line.split('|')[1:-1]] for line in lines[4:6]
    ]
    assert cells == [
        ['student', '3', '72.00', '2.65', '', '', '', ''],
        [
            'kd', '2 of 3', '74.50', '2.12', '+2.00', '-10.71 to +14.71',
            'student', 'too few seeds: 2 of 3',
        ],
    ]  # fmt: skip
    assert lines[-1] == 'Code: abc.'
    assert len({len(line) for line in lines[2:6]}) == 1


def test_report_says_how_few_the_pairs_are(do):
    write_results(dict(student={1: 0.5}, kd={0: 0.4, 1: 0.5125}))
    assert do(PLAN, '--report-only') == 0
    line = out('results.md').read_text().splitlines()[5]
    cells = [cell.strip() for cell in line.split('|')[1:-1]]
    assert cells[4:7] == ['+0.0125', '', 'student (1 of 2 seeds)']
    assert cells[7] == 'too few seeds: 1 of 3'


def test_report_says_what_was_shown(do):
    write_results(
        dict(
            student={0: 70.0, 1: 71.0, 2: 75.0},
            kd={0: 71.0, 1: 71.9, 2: 76.1},
            doubled={0: 71.0, 1: 71.9, 2: 76.1},
        )
    )
    assert do(PLAN, '--report-only') == 0
    assert '| gain ' in out('results.md').read_text()
    plan = PLAN.replace(
        "'fake.gain': 1.5}", "'fake.gain': 1.5}, controls=['doubled']"
    ).replace('student=', "doubled=dict(config='c.py'),\n    student=")
    assert do(plan, '--report-only') == 0
    assert report()['doubled']['verdict'] == dict(kind='gain', reason='')
    assert report()['kd']['verdict'] == dict(
        kind='no difference shown', reason='not above the control doubled'
    )


def test_report_of_nothing(do):
    assert do(PLAN, '--report-only') == 0
    assert '| student | 0 of 3 |' in out('results.md').read_text()
    assert not out('results.png').exists()


@pytest.mark.slow
def test_report_of_another_metric(do):
    """Beside the first, which stays; only for what is there."""
    assert do(PLAN) == 0
    first = out('results.md').read_text()
    assert do(PLAN, '--report-only', '--metric', 'val/top5') == 0
    assert '| student | 0 of 3 |' in out('results_val_top5.md').read_text()
    assert do(PLAN, '--report-only', '--metric', 'top5') == 0
    assert out('results.md').read_text() == first
    rows = json.loads(out('results_top5.json').read_text())['runs']
    assert rows['kd']['last'] == {'0': 8, '1': 8, '2': 8}
    assert rows['kd']['best'] == {'0': 9, '1': 9, '2': 9}


def test_another_metric_trains_nothing(do, capsys):
    assert do(PLAN, '--metric', 'top5') == 2
    assert 'for --report-only' in capsys.readouterr().err


def test_what_was_validated_twice_counts_as_it_was_last(tmp_path):
    for name, text in {
        'b': '{"map": 0.4, "step": 2}\n{"map": 0.5, "step": 3}\n{"ma',
        'a': '{"map": 0.7, "step": 1}\n{"map": 0.3, "step": 2}\n',
    }.items():
        (tmp_path / name / 'vis_data').mkdir(parents=True)
        (tmp_path / name / 'vis_data' / 'scalars.json').write_text(text)
    values = sweep_report.read_metric(tmp_path, 'map')
    assert list(values.items()) == [(1, 0.7), (2, 0.4), (3, 0.5)]
    assert sweep_report.summarize_metric(values) == dict(
        last=0.5, last_step=3, best=0.7, best_step=1
    )
