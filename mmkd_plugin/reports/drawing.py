"""Style, texts and files of the figures of the tools.

Sizes are for print: a page is 7 inches wide, text has 7 or 8 points.
"""

from bisect import bisect_right
from functools import cache

PAGE = 7.0
COLUMN = 3.4
# Okabe and Ito's palette, which is safe for colour blindness.
PALETTE = (
    '#0072b2',
    '#d55e00',
    '#009e73',
    '#cc79a7',
    '#e69f00',
    '#56b4e9',
    '#000000',
    '#f0e442',
)
# Of lines and bars: yellow cannot be seen on white. Nobody has to tell colours
# apart, because marks and dashes differ too.
SERIES = PALETTE[:-1]
MARKERS = ('o', 's', '^', 'D', 'v', 'P', 'X')
LINES = ('-', '--', '-.', ':', (0, (5, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)))
STYLE = {
    'font.size': 7,
    'axes.titlesize': 8,
    'axes.linewidth': 0.6,
    'axes.grid': True,
    'axes.axisbelow': True,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'grid.alpha': 0.3,
    'grid.linewidth': 0.5,
    'lines.linewidth': 1.0,
    'legend.frameon': False,
    'xtick.major.width': 0.6,
    'ytick.major.width': 0.6,
    # Text as text, which journals require and which can be searched.
    'pdf.fonttype': 42,
    'svg.fonttype': 'none',
    # A name may have a dollar sign.
    'text.parse_math': False,
}


def pyplot():
    """Matplotlib's pyplot with a backend that only writes files."""
    import matplotlib

    matplotlib.use('Agg')
    import matplotlib.pyplot as plt

    return plt


def save(figure, paths, dpi=300):
    """Write a figure and close it.

    Args:
        figure (Figure): The figure.
        paths (list[Path]): Files; the suffix decides the format.
        dpi (int): Dots per inch, also of images in vector formats.
    """
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=dpi)
    pyplot().close(figure)


def line_style(index, length):
    """How a line looks, by colour, dashes and marks.

    Args:
        index (int): Number of the line; 49 differ.
        length (int): How many points it has; at most 12 of them are marked.

    Returns:
        dict: Arguments of matplotlib's `plot`.
    """
    turn, place = divmod(index, len(SERIES))
    return dict(
        color=SERIES[place],
        linestyle=LINES[(place + turn) % len(LINES)],
        marker=MARKERS[place],
        markevery=max(-(-length // 12), 1),
    )


def label_of(name):
    """A name as a label: matplotlib leaves out those that begin with _."""
    return f'\u200b{name}' if name.startswith('_') else name


@cache
def text_width(text, size):
    """Width of a text in points, at a font size in points."""
    from matplotlib.textpath import TextPath

    return TextPath((0, 0), text, size).get_extents().width if text else 0.0


def shorten(text, size, room):
    """Replace the middle of a text by an ellipsis if it is too long.

    Args:
        text (str): The text.
        size (float): Its font size, points.
        room (float): Width that it may have, points.

    Returns:
        str: At least its first and its last character.
    """
    if len(text) <= 2 or text_width(text, size) <= room:
        return text

    def cut(keep):
        return f'{text[: keep - keep // 2]}…{text[-(keep // 2) :]}'

    def width(keep):
        return text_width(cut(keep), size)

    return cut(2 + bisect_right(range(3, len(text)), room, key=width))
