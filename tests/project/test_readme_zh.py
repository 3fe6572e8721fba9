"""The Chinese README says what the English one says, section by section."""

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.helpers.markdown import FENCED, SPAN, links

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / 'README.md', ROOT / 'README_zh-CN.md')
NUMBER = re.compile(r'(?<![A-Za-z\d.])\d+(?:[.:]\d+)*')


def sections(page):
    """The text up to the first heading of the second level, and after each."""
    title, _, rest = page.read_text().partition('\n\n')
    languages, _, rest = rest.partition('\n\n')
    assert title == '# mmkd_plugin'
    assert 'English' in languages
    return re.split('^## ', rest, flags=re.MULTILINE)


def code_of(text):
    """Blocks of code, without comments."""
    blocks = [match[0] for match in FENCED.finditer(text)]
    return [re.sub(r' *#.*', '', block) for block in blocks]


def spans_of(text):
    """Code between backticks, which may stand in another order."""
    found = (match[0] for match in SPAN.finditer(FENCED.sub('', text)))
    return Counter(' '.join(span.split()) for span in found)


def targets_of(text):
    return Counter(links(text))


def figures_of(text):
    """Numbers in the text, without those of code and of links' targets."""
    text = SPAN.sub('', FENCED.sub('', text))
    return Counter(NUMBER.findall(re.sub(r'\]\([^)]*\)', ']', text)))


@pytest.mark.parametrize('read', [code_of, spans_of, targets_of, figures_of])
def test_both_say_the_same(read):
    english, chinese = map(sections, PAGES)
    assert len(english) == len(chinese)
    for ours, theirs in zip(english, chinese):
        heading = ours.partition('\n')[0]
        assert read(ours) == read(theirs), heading


def test_each_names_the_other():
    for page, other in zip(PAGES, reversed(PAGES)):
        assert f']({other.name})' in page.read_text().split('\n\n')[1]


def test_the_test_sees_what_changes():
    text = PAGES[0].read_text()
    assert figures_of(text)['14:47'] == 1
    assert figures_of(text)['0.455'] == 1
    assert targets_of(text)['docs/results.md'] > 1
    assert spans_of(text)['`make quickstart`']
    assert 'make quickstart\n' in code_of(text)[0]
