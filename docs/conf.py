"""What `make docs` builds of the Markdown pages and the docstrings.

The pages are written for GitHub. Sphinx reads them where they are, with the
folder of the project as its source, so that one relative link serves both.
"""

import mmkd_plugin

project = 'mmkd_plugin'
version = release = mmkd_plugin.__version__
html_title = f'{project} {version}'
html_theme = 'furo'
html_show_copyright = False

extensions = [
    'myst_parser',
    'sphinx.ext.autodoc',
    'sphinx.ext.napoleon',
    'sphinx.ext.viewcode',
]
root_doc = 'docs/README'
include_patterns = ['*.md', 'docs/**.md']
exclude_patterns = ['.*', 'mmkd_plugin', 'work_dirs', 'data', 'docs/_build']

myst_heading_anchors = 3  # named as GitHub names them
autodoc_typehints = 'description'
autodoc_typehints_description_target = 'documented'

# Not in the page, where GitHub would show it as code.
TOCTREE = """
```{toctree}
:hidden:
:glob:

own_detector
how_it_works
faq
results
teachers
*
methods/README
methods/*
datasets/*
../CONTRIBUTING
../CHANGELOG
../README
../README_zh-CN
```
"""


def add_toctree(app, docname, source):
    if docname == root_doc:
        source[0] += TOCTREE


def setup(app):
    app.connect('source-read', add_toctree)
