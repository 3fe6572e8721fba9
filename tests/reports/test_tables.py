"""Tables in Markdown."""

from mmkd_plugin.reports import tables


def test_columns_have_one_width_and_their_side():
    rows = [['name', 'value', ''], ['a', '1', 'long'], ['bcdefg', '23', '']]
    assert tables.make_table(rows, left=(0, 2)) == [
        '| name   | value |      |',
        '|:-------|------:|:-----|',
        '| a      |     1 | long |',
        '| bcdefg |    23 |      |',
    ]
