"""The line of a log that says why a command failed."""

import pytest
from last_words import last_words

TRACEBACK = """\
Traceback (most recent call last):
  File "x.py", line 1, in <module>
    raise ValueError('error: no')
ValueError: no
"""


@pytest.mark.parametrize(
    'log, expected',
    [
        ('', ''),
        ('begin\nerror: Out of milk.\n', 'error: Out of milk.'),
        ('error: Out of milk.\nleaked semaphore\n', 'error: Out of milk.'),
        (
            'train.py: error: no such option\n',
            'train.py: error: no such option',
        ),
        (TRACEBACK, 'ValueError: no'),
        (TRACEBACK + '\nbye\n', 'ValueError: no'),
        ('error: once\n' + TRACEBACK, 'ValueError: no'),
        (TRACEBACK + 'error: later\n', 'error: later'),
        (
            TRACEBACK + '\nDuring handling of the above exception, another '
            'exception occurred:\n\n'
            + TRACEBACK.replace(
                'ValueError: no', 'torch.cuda.OutOfMemoryError: CUDA\nmore'
            ),
            'torch.cuda.OutOfMemoryError: CUDA',
        ),
        ('Killed\n\n', 'Killed'),
    ],
)
def test_last_words(tmp_path, log, expected):
    path = tmp_path / 'run.log'
    path.write_text(log)
    assert last_words(path) == expected
