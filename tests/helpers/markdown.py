"""Parts of a page of documentation."""

import re

FENCED = re.compile(r'^ *(`{3,}).*?^ *\1 *$', re.MULTILINE | re.DOTALL)
SPAN = re.compile(r'(`+)(?!`).+?(?<!`)\1(?!`)', re.DOTALL)
LINK = re.compile(r'\]\(\s*([^)\s]+)')


def links(text):
    """Targets of the links of a page, those in code left out."""
    return LINK.findall(SPAN.sub('', FENCED.sub('', text)))
