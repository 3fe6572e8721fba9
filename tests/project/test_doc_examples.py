"""What is taken from a page, and what is said of an example that fails."""

import traceback

import pytest

from tests.helpers.doc_examples import examples, run_examples

pytestmark = pytest.mark.slow

PAGE = """\
# Page

```python
x = 1
```

## First

```bash
# not a heading
y
```

* An example in a list:

  ```python
  # not a heading either
  if x == 1:
      x += given
  ```

````python
text = '''
```
'''
````

## Second

```python
z = 1

z / 0
```
"""


@pytest.fixture
def page(tmp_path):
    path = tmp_path / 'page.md'
    path.write_text(PAGE)
    return path


def test_examples_and_where_they_stand(page):
    found = examples(page)
    headings = ['Page', 'First', 'First', 'Second']
    assert [each.heading for each in found] == headings
    lines = PAGE.splitlines()
    assert [lines[each.line - 1].strip() for each in found] == [
        'x = 1',
        '# not a heading either',
        "text = '''",
        'z = 1',
    ]
    assert found[1].code.endswith('\n    x += given\n')
    (bash,) = examples(page, 'bash')
    assert bash.code == '# not a heading\ny\n'


def test_examples_of_a_heading_share_their_names(page):
    names = run_examples(page, 'First', x=1, given=4)
    assert names['x'] == 5
    assert names['text'] == '\n```\n'
    with pytest.raises(NameError):
        run_examples(page, 'First')


def test_an_error_names_the_line_of_the_page(page):
    with pytest.raises(ZeroDivisionError) as info:
        run_examples(page, 'Second')
    frame = traceback.extract_tb(info.value.__traceback__)[-1]
    assert frame.filename == str(page)
    assert PAGE.splitlines()[frame.lineno - 1] == 'z / 0'


def test_a_heading_without_examples(page):
    with pytest.raises(ValueError, match="under the heading 'Third'"):
        run_examples(page, 'Third')
