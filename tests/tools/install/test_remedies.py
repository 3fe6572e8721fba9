import pytest
import remedies


@pytest.mark.parametrize(
    'log, remedy',
    [
        ('OSError: [Errno 28] No space left on device', 'disk is full'),
        ('NewConnectionError: [Errno -2]', 'check the network'),
        ('g++: fatal error: Killed signal terminated', 'MAX_JOBS=1'),
        ('ERROR: No matching distribution found for torch==2', 'no torch=='),
    ],
)
def test_known_failures_are_explained(log, remedy):
    assert remedy in remedies.explain(log)


def test_an_unknown_failure_is_not_explained():
    assert remedies.explain('SyntaxError: invalid syntax') is None
