"""The line of a log that says why a command failed."""

import re

# As explain_errors and argparse end a command, and as Python does.
SENTENCE = re.compile(r'^(?:\S+: )?error: \S.*')
EXCEPTION = re.compile(r'^(?:\w+\.)*[A-Z]\w*(?:: .*)?$')
TRACEBACK = 'Traceback (most recent call last):'


def last_words(path):
    """Find the line that matters in the log of a failed command.

    Args:
        path (Path): The log.

    Returns:
        str: The last sentence ``error: ...`` or, if a traceback follows it,
        what that ends with; without both, the last line. Empty if the log is.
    """
    lines = path.read_text(errors='replace').splitlines()
    lines = [line.rstrip() for line in lines if line.strip()]
    found = lines[-1] if lines else ''
    in_traceback = False
    for line in lines:
        if line == TRACEBACK:
            in_traceback = True
        elif SENTENCE.match(line) or in_traceback and EXCEPTION.match(line):
            found, in_traceback = line, False
    return found
