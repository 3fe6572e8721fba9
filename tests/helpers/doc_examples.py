"""The Python examples of the documentation, run as they stand there."""

import re
import textwrap
from pathlib import Path
from typing import NamedTuple

DOCS = Path(__file__).parents[2] / 'docs'
FENCE = re.compile(r'\s*(`{3,})\s*(\w*)')


class Example(NamedTuple):
    """A fenced block of code.

    Attributes:
        heading (str): What it stands under, without the hashes.
        line (int): Line of the page that its code begins in, from 1.
        code (str): Without the indent that all of it has.
    """

    heading: str
    line: int
    code: str


def examples(page, language='python'):
    """All blocks of a language on a page, in their order."""
    found, heading, fence, lines = [], '', None, []
    for number, text in enumerate(Path(page).read_text().splitlines(), 1):
        mark = FENCE.match(text)
        if fence is None and mark:
            fence, start, lines = mark, number + 1, []
        elif fence is None and text.startswith('#'):
            heading = text.lstrip('#').strip()
        elif fence is not None and text.strip() == fence[1]:
            if fence[2] == language:
                code = textwrap.dedent('\n'.join(lines)) + '\n'
                found.append(Example(heading, start, code))
            fence = None
        else:
            lines.append(text)
    return found


def run_examples(page, heading, **names):
    """Run the Python blocks under a heading, one after the other.

    An error's traceback names the page and its line.

    Args:
        page (Path): The page.
        heading (str): The heading right above the blocks.
        **names: What the examples may take as given.

    Returns:
        dict: The names that they leave behind.
    """
    chosen = [each for each in examples(page) if each.heading == heading]
    if not chosen:
        raise ValueError(f'{page} has no Python under the heading {heading!r}')
    names['__name__'] = 'example'
    for example in chosen:
        code = '\n' * (example.line - 1) + example.code
        exec(compile(code, str(page), 'exec'), names)
    return names
