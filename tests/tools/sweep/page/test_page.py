"""The whole page: complete, honest, and never in the way of the numbers."""

import re
import sys
from html.parser import HTMLParser

import page
import pytest
import sweep_run
from page.render import render

from tests.helpers.sweep_pages import gains, make_data, read_data
from tests.helpers.sweeps import PLAN, out
from tests.helpers.trained import write_classifier

VOID = {'meta', 'link', 'img', 'br'}


class Reader(HTMLParser):
    """Checks the nesting, and collects text, identifiers and addresses."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.text = [], [], [], ''
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.ids += [attrs['id']] if 'id' in attrs else []
        self.links += [attrs[key] for key in ('src', 'href') if key in attrs]
        if tag == 'img':
            assert attrs['alt']
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != 'style':
            self.text += data


def read(data):
    text = render(data.plan, data.out, data.rows)
    reader = Reader(text)
    assert len({*reader.ids}) == len(reader.ids)
    # One file: what it shows is in it.
    for link in reader.links:
        assert link.startswith('data:') or re.fullmatch(r'#[mp]\w+', link)
    assert 'url(' not in text.replace('url(#', '') and '@import' not in text
    return reader


def test_page(tmp_path):
    runs = dict(student=gains(0, 0, 0, base=50), kd=gains(2, 3, 2, base=50))
    data = make_data(tmp_path, runs, metric='accuracy/top1')
    for at, name in enumerate(runs):
        write_classifier(tmp_path / name / 'seed_0', seed=at)
    reader = read(data)
    for text in (
        'kd is better than student.',
        '+2.33 accuracy/top1, 95 % interval +0.90 to +3.77, 3 seeds',
        'at least 3 seeds',
        'all 6 validation images',
        'images right that student had wrong',
        'python tools/train.py c.py',
        'PyTorch: 2.11.0',
    ):
        assert text in reader.text, text
    assert 'Before you trust these numbers' not in reader.text
    assert any(link.startswith('data:image/webp') for link in reader.links)


def test_page_of_nothing(tmp_path):
    data = make_data(tmp_path, dict(student={}, kd={}), [0, 1])
    reader = read(data)
    for text in (
        'No method has finished a seed',
        'kd: seeds 0, 1 have no result; not begun.',
        'No run was validated more than once',
        'No training loss is in the logs.',
        'No method has finished a common seed.',
        'No log names them.',
        'No training was begun',
    ):
        assert text in reader.text, text


def test_page_without_checkpoints(tmp_path):
    data = make_data(tmp_path, dict(student=gains(0), kd=gains(1)))
    text = read(data).text
    assert 'student is not shown: ' in text
    assert 'names no checkpoint in last_checkpoint.' in text


def test_page_without_rule_or_baseline(tmp_path):
    data = make_data(tmp_path, dict(student=gains(0)), metric='mIoU')
    text = read(data).text
    assert 'There is no rule for mIoU' in text
    assert 'The plan names no baseline' in text


def test_several_baselines(tmp_path):
    runs = dict(a=gains(0), b=gains(0), kd=gains(1), ckd=gains(1))
    data = make_data(tmp_path, runs)
    data.plan.runs['b'].baseline = None
    data.plan.runs['ckd'].baseline = 'b'
    text = read(read_data(data.plan, tmp_path)).text
    assert 'Training against a' in text and 'Training against b' in text


def test_a_value_that_is_no_number(tmp_path):
    runs = dict(student=gains(0, 0, 0, 0, 0), kd=gains(1, 1, 1, 1, 1))
    runs['kd'][3] = [0.1, float('nan')]
    text = read(make_data(tmp_path, runs)).text
    assert 'kd cannot be judged against student.' in text
    assert 'coco/bbox_mAP is no number with seed 3' in text


def test_names_are_text(tmp_path):
    data = make_data(tmp_path, dict(student=gains(0), kd=gains(1)))
    data.plan.runs['kd'].config = '<script>alert("1")</script>.py'
    reader = read(data)
    assert '<script>alert("1")</script>.py' in reader.text


def test_runs_that_are_left_out_are_named(tmp_path):
    runs = {f'run_{index}': gains(0.01 * index) for index in range(9)}
    text = read(make_data(tmp_path, runs)).text
    assert 'cannot be told apart: run_2, run_1.' in text


@pytest.mark.parametrize('problem', ['error', 'library'])
def test_numbers_are_written_without_the_page(
    do, place, monkeypatch, capsys, problem
):
    assert do(PLAN, '--report-only') == 0
    path = out('report.html')
    assert path.is_file() and str(path) in capsys.readouterr().out
    out('results.md').unlink()
    if problem == 'error':

        def fail(*args):
            raise ValueError('no\n  ink')

        monkeypatch.setattr('page.render.render', fail)
        expected = 'report.html was not written: ValueError: no ink\n'
    else:
        monkeypatch.delitem(sys.modules, 'page.render')
        monkeypatch.delattr(page, 'render')
        monkeypatch.setitem(sys.modules, 'jinja2', None)
        expected = 'report.html was not written: ModuleNotFoundError: '
    assert do(PLAN, '--report-only') == 0
    assert expected in capsys.readouterr().out
    assert out('results.md').is_file()
    # It would not be of these numbers.
    assert not path.exists()


def test_another_metric_has_its_own_page(tmp_path):
    data = make_data(tmp_path, dict(student=gains(0), kd=gains(1)))
    sweep_run.report(data.plan, tmp_path)
    metric = f'{data.plan.metric}_50'
    sweep_run.report(data.plan, tmp_path, metric)
    first, second = (
        (tmp_path / name).read_text()
        for name in ('report.html', 'report_coco_bbox_mAP_50.html')
    )
    assert f'compared by {metric} at' in second
    assert f'compared by {metric} at' not in first
