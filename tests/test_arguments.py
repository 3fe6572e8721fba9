"""Arguments of a wrong kind are refused, each in one sentence."""

import ast
import decimal
import fractions
from pathlib import Path

import numpy as np
import pytest

from mmkd_plugin import arguments
from mmkd_plugin.exceptions import MMKDError, MMKDTypeError

PACKAGE = Path(arguments.__file__).parent
NAN, INF = float('nan'), float('inf')
NUMBERS = (1, 0.5, np.float32(0.5), np.float64(2), np.int64(3), np.uint8(4))
NO_NUMBERS = (
    None,
    True,
    '1',
    NAN,
    INF,
    -INF,
    1e300,
    -1,
    [1],
    {},
    1j,
    np.bool_(True),
    np.ones(2),
    np.float64('nan'),
    fractions.Fraction(1, 2),
    decimal.Decimal(1),
    int,
)


def refused(check, *args, **kwargs):
    with pytest.raises(MMKDError) as caught:
        check(*args, **kwargs)
    text = str(caught.value)
    assert text.startswith('Expected argument `x` to be '), text
    assert '\n' not in text and text.endswith('.')
    assert len(text) < 400
    return text


@pytest.mark.parametrize(
    'check', [arguments.check_tau, arguments.check_weight]
)
def test_numbers(check):
    for value in NUMBERS:
        check(x=value)
    for value in NO_NUMBERS:
        refused(check, x=value)


def test_range_holds_its_ends():
    for least, most in (arguments.TAU, arguments.WEIGHT, (0, 1)):
        arguments.check_number('x', least, least, most)
        arguments.check_number('x', most, least, most)
        refused(arguments.check_number, 'x', least - 1e-6, least, most)
        refused(arguments.check_number, 'x', most * 1.001, least, most)


def test_integers():
    for value in (0, 7, 10**30, np.int64(3)):
        arguments.check_integer('x', value)
    for value in (0.0, 2.0, -1, False, '3', None, [], np.float32(1)):
        refused(arguments.check_integer, 'x', value)


def test_switches():
    arguments.check_switch(x=True)
    arguments.check_switch(x=False)
    for value in (None, 0, 1, 1.0, 'True', 'False', '', [], np.bool_(True)):
        refused(arguments.check_switch, x=value)


def test_words_and_text():
    arguments.check_choice('x', 'a', 'a', 'b')
    for value in ('c', None, 1, ['a'], {}, ''):
        refused(arguments.check_choice, 'x', value, 'a', 'b')
    arguments.check_text('x', '')
    for value in (None, 1, True, ['a'], b'a', {}):
        refused(arguments.check_text, 'x', value)


def test_paths():
    for value in ('a', '~/a', PACKAGE, 'https://x/' + 'y' * 400, 'mmdet::a'):
        arguments.check_path('x', value)
    for value in (None, 5, True, [], '', '  ', '~nobody_of_that_name/x'):
        refused(arguments.check_path, 'x', value)
    assert 'too long' in refused(arguments.check_path, 'x', 'y' * 5000)
    assert 'IPv6' in refused(arguments.check_path, 'x', 'http://[x')


def test_what_was_got_is_one_short_line():
    assert arguments.shown('a\nb') == r"'a\nb'"
    assert len(arguments.shown(list(range(10000)))) < 300


# What is raised beside the package's own classes: how a command ends, what
# is caught in the same file, and what cannot happen.
OTHERS = {
    'AssertionError',
    'EOFError',
    'OSError',
    'SystemExit',
    '_Fault',
    'failure',
    'tarfile.TarError',
}


def raised(source):
    """Line and name of what a file raises, if it names it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Raise) and node.exc is not None:
            exc = node.exc
            name = exc.func if isinstance(exc, ast.Call) else exc
            yield node.lineno, ast.unparse(name)


def kinds(kind=MMKDError):
    yield kind.__name__
    for derived in kind.__subclasses__():
        yield from kinds(derived)


FILES = sorted(p for p in PACKAGE.rglob('*.py') if '.mim' not in p.parts)


@pytest.mark.parametrize(
    'path', FILES, ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_only_classes_of_the_package_are_raised(path):
    known = {*kinds(), *OTHERS}
    found = list(raised(path.read_text()))
    assert not [(line, name) for line, name in found if name not in known]


def test_what_is_raised_is_found():
    source = "if x:\n    raise ValueError('x')\nraise error\nraise\n"
    assert sorted(raised(source)) == [(2, 'ValueError'), (3, 'error')]
    assert {'MMKDError', 'MMKDTypeError', 'UnsafeFileError'} <= {*kinds()}
    assert all(issubclass(MMKDTypeError, k) for k in (MMKDError, TypeError))
