"""The logits and labels that every loss test runs through."""

import torch


def draw(rows, classes, seed, scale=3.0):
    """Student, teacher and labels drawn at random."""
    generator = torch.Generator().manual_seed(seed)
    size = (rows, classes)
    student = torch.randn(size, generator=generator) * scale
    teacher = torch.randn(size, generator=generator) * scale
    labels = torch.randint(classes, (rows,), generator=generator)
    return student, teacher, labels


def given(student, teacher, labels):
    return (
        torch.tensor(student, dtype=torch.float32),
        torch.tensor(teacher, dtype=torch.float32),
        torch.tensor(labels),
    )


# Three rows small enough to follow by hand. The teacher is right in rows 0 and
# 2; in row 1 it prefers class 3. The pinned values are of these.
PINNED = given(
    [[1.0, 2.0, -1.0, 0.5], [0.0, -2.0, 3.0, 1.0], [-1.5, 0.5, 0.0, 2.5]],
    [[2.0, 1.0, -2.0, 0.0], [1.0, 0.5, 2.5, 3.0], [-1.0, -3.0, 0.5, 4.0]],
    [0, 2, 3],
)

STUDENT, TEACHER, LABELS = draw(5, 7, seed=0)

CASES = {
    'drawn': (STUDENT, TEACHER, LABELS),
    'many classes': draw(6, 81, seed=1),
    'teacher right': (STUDENT, TEACHER, TEACHER.argmax(1)),
    'label ranked last': (STUDENT, TEACHER, TEACHER.argmin(1)),
    'one class left': (STUDENT, TEACHER, TEACHER.argsort(1)[:, 1]),
    'ties with the label': given(
        [[0.5, -1.0, 2.0, 0.0], [1.0, 0.5, -0.5, 3.0]],
        [[1.5, 1.5, 0.5, -2.0], [-1.0, 2.0, -1.0, -1.0]],
        [1, 3],
    ),
    'all classes tied': given([[0.5, -1.0, 2.0]], [[1.0, 1.0, 1.0]], [2]),
    'two classes': draw(4, 2, seed=2),
    'one sample': draw(1, 5, seed=3),
    'student equals teacher': (TEACHER, TEACHER, LABELS),
    'nearly certain': given(
        [[20.0, 0.0, 1.0, -1.0], [0.0, 2.0, 25.0, 1.0]],
        [[24.0, 1.0, 0.0, 2.0], [1.0, 0.0, 19.0, -2.0]],
        [0, 2],
    ),
    'gaps of 1e4': given(
        [[1e4, 0.0, -5.0, 2.0], [-1e4, 1e4, 0.0, 3.0], [0.0, 1e4, 1.0, 2.0]],
        [[0.0, 1e4, 1.0, -1e4], [2.0, 1e4, -1e4, 0.0], [1e4, 0.0, 5.0, 1.0]],
        [0, 1, 1],
    ),
}
