"""Matching classes by name."""

import pytest

from mmkd_plugin.teachers.classes import match_classes


@pytest.mark.parametrize(
    'student, teacher, background, wanted',
    [
        ('ab', 'ab', 1, None),
        ('ab', 'ba', 1, [1, 0, 2]),
        ('ab', 'ba', 0, [1, 0]),
        ('ca', 'abc', 1, [2, 0, 3]),
        (None, 'ab', 1, None),
        ('ab', None, 1, None),
        # ImageNet has two classes 'crane'.
        ('aba', 'aba', 0, None),
    ],
)
def test_columns(student, teacher, background, wanted):
    assert (
        match_classes(
            student,
            teacher,
            len(student or 'ab'),
            len(teacher or 'ab'),
            background,
        )
        == wanted
    )


@pytest.mark.parametrize(
    'student, teacher, numbers, message',
    [
        ('abx', 'ab', (3, 2), '1 of the 3 classes.*x; it has a, b'),
        ('ab', None, (2, 3), 'student has 2.*teacher 3.*names of the teach'),
        (None, 'ab', (3, 2), 'names of the student'),
        ('ab', 'abc', (2, 80), 'teacher has 80 classes, but 3'),
        ('ab', 'ab', (80, 2), 'student has 80 classes, but 2'),
        ('aba', 'bab', (3, 3), "differ in order.*two have the name 'a'"),
    ],
)
def test_what_cannot_be_matched(student, teacher, numbers, message):
    with pytest.raises(ValueError, match=message):
        match_classes(student, teacher, *numbers, 1)


def test_columns_of_some():
    """Those that the teacher lacks are -1; the background is known."""
    columns = match_classes('cxa', 'abc', 3, 3, 1, leave_out=True)
    assert columns == [2, -1, 0, 3]
    assert match_classes('ab', 'ab', 2, 2, 1, leave_out=True) is None


@pytest.mark.parametrize(
    'student, teacher, message',
    [
        ('axy', 'abc', 'knows 1 of the 3 classes .* needs at least 2'),
        # Left out in silence, a class would not be taught.
        ('abC', 'abc', '1 of the 3 .* only in case, .*C.* and .c'),
        ('xaC', 'abc', '1 of the 3 .* only in case, .*C.* and .c'),
    ],
)
def test_too_few_or_misspelt(student, teacher, message):
    with pytest.raises(ValueError, match=message):
        match_classes(student, teacher, 3, 3, leave_out=True, least=2)
