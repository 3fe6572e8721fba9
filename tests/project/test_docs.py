"""The pages are consistent: every link has a target, every page is found."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

from tests.helpers.doc_examples import DOCS, examples
from tests.helpers.markdown import FENCED, links

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / 'README.md',
    ROOT / 'README_zh-CN.md',
    ROOT / 'CONTRIBUTING.md',
    ROOT / 'CHANGELOG.md',
    ROOT / 'tools/README.md',
    *sorted(DOCS.rglob('*.md')),
]
HEADING = re.compile(r'^#+ +(.*?) *$', re.MULTILINE)


def name_of(page):
    return str(page.relative_to(ROOT))


def anchors(text):
    """What may stand after `#`: the headings, as GitHub names them.

    Not the ids of rows of a table, which the built pages do not know.
    """
    text, names, times = FENCED.sub('', text), set(), Counter()
    for heading in HEADING.findall(text):
        shown = re.sub(r'\[([^]]*)\]\([^)]*\)', r'\1', heading).lower()
        name = re.sub(r'[^\w\- ]', '', shown).replace(' ', '-')
        names.add(f'{name}-{times[name]}' if times[name] else name)
        times[name] += 1
    return names


def broken(page, text):
    """The links of a page that lead nowhere, other sites left out."""
    for link in links(text):
        path, _, anchor = link.partition('#')
        if '://' in path or path.startswith('mailto:'):
            continue
        target = page.parent / path if path else page
        if not target.exists():
            yield link
        elif anchor:
            content = text if target == page else target.read_text()
            if target.suffix != '.md' or anchor not in anchors(content):
                yield link


@pytest.mark.parametrize('page', PAGES, ids=name_of)
def test_every_link_has_a_target(page):
    wrong = list(broken(page, page.read_text()))
    assert not wrong


@pytest.mark.parametrize('page', PAGES, ids=name_of)
def test_every_command_is_there(page):
    code = '\n'.join(each.code for each in examples(page, 'bash'))
    files = re.findall(r'(?:tools|tests|configs)/[\w/.-]+\.(?:py|sh)\b', code)
    assert not [name for name in files if not (ROOT / name).is_file()]
    targets = re.findall(r'^make (\w+)', code, re.MULTILINE)
    known = re.findall(
        r'^(\w+):', (ROOT / 'Makefile').read_text(), re.MULTILINE
    )
    assert set(targets) <= set(known)


def test_every_page_is_in_the_index():
    """In that of docs/, or in one of a folder that it names."""
    found, indices = set(), [DOCS / 'README.md']
    while indices:
        index = indices.pop()
        for link in links(index.read_text()):
            page = (index.parent / link.partition('#')[0]).resolve()
            if page.name == 'README.md' and DOCS in page.parents:
                indices += [] if page in found else [page]
            found.add(page)
    assert {*DOCS.rglob('*.md')} - {DOCS / 'README.md'} <= found
    assert 'docs/README.md' in links((ROOT / 'README.md').read_text())


def is_command(path):
    """Whether it is a shell script, or a Python file with a `main`."""
    if path.suffix != '.py':
        return path.suffix == '.sh'
    return any(
        isinstance(node, ast.FunctionDef) and node.name == 'main'
        for node in ast.parse(path.read_text()).body
    )


def test_every_tool_is_in_the_list():
    """Under the heading of its folder, and nothing else is."""
    _, *sections = re.split(
        '^## ', (ROOT / 'tools/README.md').read_text(), flags=re.MULTILINE
    )
    listed = set()
    for section in sections:
        heading, _, text = section.partition('\n')
        folder = ROOT / 'tools'
        if (folder / heading).is_dir():
            folder /= heading
        for row in re.findall(r'^\| (`.+?`) \|', text, re.MULTILINE):
            names = re.findall(r'[\w/]+\.(?:py|sh)\b', row)
            listed |= {folder / name.removeprefix('tools/') for name in names}
    assert listed == {*filter(is_command, (ROOT / 'tools').rglob('*'))}


def test_every_picture_is_shown():
    shown = {
        (page.parent / link).resolve()
        for page in PAGES
        for link in links(page.read_text())
    }
    assert set((DOCS / 'images').iterdir()) <= shown


def test_what_counts_as_a_link_and_an_anchor(tmp_path):
    page = tmp_path / 'page.md'
    (tmp_path / 'other.md').write_text(
        '# `a_b`: Why, [so](x)?\n\n## Two\n## Two\n'
    )
    text = (
        '# Page\n[a](#page) [b](#Page) [c](other.md#a_b-why-so) ![d](no.png)\n'
        '[e](other.md#two-1) [f](other.md#two-2) [g](https://nowhere/x)\n'
        '`[h](code)` ``[`i`](code)``\n```\n[j](code)\n# Code\n```\n'
        '[k](#code) <a id="row"></a>[l](#row) [m\nn](other.md "title")'
    )
    page.write_text(text)
    wrong = ['#Page', 'no.png', 'other.md#two-2', '#code', '#row']
    assert list(broken(page, text)) == wrong
