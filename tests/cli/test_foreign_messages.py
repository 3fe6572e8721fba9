"""What is left out of the output of commands, and that nothing else is."""

import logging
import sys
import warnings

import pytest

from mmkd_plugin.cli.foreign_messages import (
    COCO_PRINTS,
    hide_foreign_messages,
    is_foreign,
    without_lines,
)

FASTER = (
    'faster_coco_eval is not installed, metrics will not be computed. Please '
    'install it by: mim install onedl-mmdetection[optional]'
)
PACKAGES = (
    'pkg_resources is deprecated as an API. See '
    'https://setuptools.pypa.io/en/latest/pkg_resources.html. The '
    'pkg_resources package is slated for removal as early as 2025-11-30.'
)
ALIAS = (
    '"HardDiskBackend" is the alias of "LocalBackend" and the former will be '
    'deprecated in future.'
)
ONEDL = 'Could not import OneDL. Skipping OneDL datasets.'


@pytest.mark.parametrize(
    'message, category, told',
    [
        (FASTER, UserWarning, False),
        (PACKAGES, UserWarning, False),
        (FASTER, RuntimeWarning, True),
        (f'{FASTER} Or not.', UserWarning, True),
        (f'My {FASTER}', UserWarning, True),
        ('my images are dark', UserWarning, True),
    ],
)
def test_warnings(message, category, told):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter('always')
        with hide_foreign_messages():
            warnings.warn(message, category, stacklevel=1)
        assert len(seen) == told
        warnings.warn(message, category, stacklevel=1)
        assert len(seen) == told + 1


def test_prints(capsys):
    with hide_foreign_messages():
        print(ONEDL)
        print('mine')
        print(ONEDL, '!')
        print('see:', ONEDL)
        print(ONEDL, end='')
        print(end='?\n')
        print(ONEDL, file=sys.stderr)
        print('error', file=sys.stderr)
    print(ONEDL)
    told = capsys.readouterr()
    assert told.out == f'mine\n{ONEDL} !\nsee: {ONEDL}\n{ONEDL}?\n{ONEDL}\n'
    assert told.err == 'error\n'


def test_lines_of_pycocotools(capsys):
    with without_lines(COCO_PRINTS) as lines:
        print('loading annotations into memory...')
        print()
        print('5 % ...', end='\r')
        print('index created!')
        print('Done (t=0.02s)')
        print('Done (t=0.02s), 3 images are dark')
        print('creating index...')
        print('index created!')
    assert capsys.readouterr().out == (
        '\n5 % ...\rindex created!\nDone (t=0.02s), 3 images are dark\n'
    )
    assert len(lines) == 4


def test_what_has_no_end_yet_comes_through(capsys):
    with without_lines(COCO_PRINTS) as lines:
        print('index created!', end='')
    assert capsys.readouterr().out == 'index created!'
    assert not lines


def test_a_stream_that_is_kept_goes_on(capsys):
    """As by the handler of a logger."""
    with without_lines(COCO_PRINTS):
        kept = sys.stdout
    print('index created!', file=kept)
    assert capsys.readouterr().out == 'index created!\n'
    assert not kept.isatty()


@pytest.mark.parametrize(
    'level, text, foreign',
    [
        (logging.WARNING, ALIAS, True),
        (logging.ERROR, ALIAS, False),
        (logging.WARNING, f'{ALIAS} So what?', False),
        (logging.WARNING, 'LinearLR ends early', False),
    ],
)
def test_records(level, text, foreign):
    record = logging.LogRecord('mmengine', level, __file__, 1, text, (), None)
    assert is_foreign(record) == foreign
