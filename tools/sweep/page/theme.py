"""Figures as SVG inside a page, in the colours of its style sheet.

Matplotlib writes colours as numbers. They are replaced by variables that the
style sheet sets for a light and a dark page, so one figure serves both.
"""

import re
from io import StringIO

from markupsafe import Markup, escape

from mmkd_plugin.reports.drawing import SERIES, pyplot

INK, MUTED, GRID, PAPER = '#000000', '#555555', '#b0b0b0', '#ffffff'
VARIABLES = {
    **{color: f'var(--series-{i})' for i, color in enumerate(SERIES)},
    INK: 'var(--ink)',
    MUTED: 'var(--muted)',
    GRID: 'var(--grid)',
    PAPER: 'var(--paper)',
}


def inline(figure, alt):
    """Turn a figure into an element of a page, and close it.

    Args:
        figure (Figure): A figure whose colours are those of this module.
        alt (str): What it shows, for those who cannot see it.

    Returns:
        Markup: An ``svg`` element.
    """
    file = StringIO()
    plt = pyplot()
    # Names of definitions are hashes, which must differ between figures.
    with plt.rc_context({'svg.fonttype': 'none', 'svg.hashsalt': alt}):
        figure.savefig(
            file, format='svg', transparent=True, metadata={'Date': None}
        )
    plt.close(figure)
    return inline_svg(file.getvalue(), alt)


def inline_svg(text, alt):
    """Turn an SVG file of matplotlib into an element of a page.

    Args:
        text (str): The file.
        alt (str): What it shows.

    Returns:
        Markup: An ``svg`` element, as wide as the style sheet says.
    """
    text = text[text.index('<svg') :]
    text = re.sub(r'<metadata>.*?</metadata>', '', text, flags=re.S)
    # Names of groups repeat from figure to figure, and nothing uses them.
    text = re.sub(r'<g id="[^"]*"', '<g', text)
    for color, variable in VARIABLES.items():
        text = re.sub(rf'{color}\b', variable, text)
    text = re.sub(r'(width|height)="[\d.]+pt" ?', '', text, count=2)
    head = f'<svg role="img" aria-label="{escape(alt)}" '
    return Markup(text.replace('<svg ', head, 1))
