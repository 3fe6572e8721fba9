"""The tables of docs/errors.md, and a command that causes each error."""

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / 'docs' / 'errors.md'
# Id of a row -> function of a `World` that runs a command.
CASES = {}


def case_of(cases):
    """A decorator that registers a function in a dict under a new name."""

    def case(name):
        def register(function):
            assert name not in cases
            cases[name] = function
            return function

        return register

    return case


case = case_of(CASES)


def rows():
    """Id, error and advice of each row of the page."""
    found = []
    for line in DOCS.read_text().splitlines():
        if line.startswith('| <a id='):
            what, printed, advice = re.split(r'(?<!\\)\|', line)[1:4]
            name = re.search('id="(.*?)"', what)[1]
            printed = printed.strip().strip('`').strip().replace(r'\|', '|')
            found.append((name, printed, advice.strip()))
    return found


ROWS = {name: printed for name, printed, _ in rows()}


def pattern(printed):
    """A sentence as a pattern; … stands for what differs."""
    return re.escape(printed).replace('…', '.+?')
