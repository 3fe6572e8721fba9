"""Tables in Markdown."""


def make_table(rows, left=(0,)):
    """Lay out a Markdown table that is also aligned as plain text.

    Args:
        rows (list[list[str]]): The cells; the first row is the header.
        left (Collection[int]): Columns that are not right-aligned.

    Returns:
        list[str]: The lines.
    """
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = [
        '| '
        + ' | '.join(
            text.ljust(width) if i in left else text.rjust(width)
            for i, (text, width) in enumerate(zip(row, widths))
        )
        + ' |'
        for row in rows
    ]
    rule = '|'.join(
        f':{"-" * (width + 1)}' if i in left else f'{"-" * (width + 1)}:'
        for i, width in enumerate(widths)
    )
    return [lines[0], f'|{rule}|', *lines[1:]]
