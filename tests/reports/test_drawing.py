"""Looks of lines, and texts that fit."""

import pytest

pytest.importorskip('matplotlib')

from mmkd_plugin.reports import drawing  # noqa: E402


def test_lines_differ_without_colours():
    looks = [drawing.line_style(index, 5) for index in range(49)]
    marks = {(look['marker'], str(look['linestyle'])) for look in looks}
    assert len(marks) == 49
    assert {look['color'] for look in looks} == set(drawing.SERIES)


@pytest.mark.parametrize('length', [0, 1, 12, 13, 100, 1201])
def test_at_most_twelve_points_are_marked(length):
    step = drawing.line_style(0, length)['markevery']
    assert len(range(0, length, step)) <= 12


@pytest.mark.parametrize('text', ['', 'a', 'WWW', 'image_000123.jpg', '$a$'])
@pytest.mark.parametrize('room', [1, 20, 40, 1000])
def test_shorten(text, room):
    short = drawing.shorten(text, 7, room)
    if drawing.text_width(text, 7) <= room:
        assert short == text
    elif len(text) > 2:
        assert short[0] == text[0] and short[-1] == text[-1]
        assert short.count('…') == 1
        assert len(short) == 3 or drawing.text_width(short, 7) <= room


def test_as_much_as_fits():
    whole = drawing.text_width('image_000123.jpg', 7)
    short = drawing.shorten('image_000123.jpg', 7, whole - 0.1)
    assert len(short) >= len('image_000123.jpg') - 2


def test_labels_that_matplotlib_would_leave_out():
    assert drawing.label_of('a_b') == 'a_b'
    assert drawing.label_of('_b').endswith('_b')
    assert not drawing.label_of('_b').startswith('_')
