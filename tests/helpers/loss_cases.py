"""The inputs and the losses that every loss test runs through."""

from functools import partial
from typing import NamedTuple

import torch

from mmkd_plugin import losses

from . import oracles


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


class Loss(NamedTuple):
    """A loss by its function, its module, its oracle and its numbers.

    The module multiplies the weights that it is given by ``factor``. Given
    ``in_shares`` too, the mean over processes with equal shares of a batch is
    that of the batch.
    """

    function: object
    module: type
    oracle: object
    numbers: dict
    takes_labels: bool
    factor: float = 1.0
    in_shares: dict = {}

    def per_sample(self, student, teacher, labels):
        labels = (labels,) if self.takes_labels else ()
        return self.function(student, teacher, *labels, **self.numbers)

    def expected(self, student, teacher, labels):
        return self.oracle(student, teacher, labels, **self.numbers)


LOSSES = {
    'KDLoss': Loss(
        losses.kd_loss, losses.KDLoss, oracles.kd, dict(tau=2.0), False
    ),
    'DKDLoss': Loss(
        losses.dkd_loss,
        losses.DKDLoss,
        oracles.dkd,
        dict(alpha=1.5, beta=0.25, tau=2.0),
        True,
    ),
    'RLDLoss': Loss(
        losses.rld_loss,
        losses.RLDLoss,
        oracles.rld,
        dict(alpha=0.5, beta=1.5, tau_scd=2.0, tau_mcd=3.0),
        True,
    ),
    'CKDLoss': Loss(
        losses.ckd_loss,
        losses.CKDLoss,
        oracles.ckd,
        dict(tau=0.5),
        False,
        in_shares=dict(gather=True),
    ),
    'DISTLoss': Loss(
        losses.dist_loss,
        losses.DISTLoss,
        oracles.dist,
        dict(beta=1.5, gamma=0.5, tau=2.0),
        False,
        in_shares=dict(gamma=0),
    ),
}


def standardized(loss):
    return loss._replace(
        function=partial(loss.function, standardize=True),
        module=partial(loss.module, standardize=True),
        oracle=partial(loss.oracle, standardize=True),
        factor=9.0,
    )


STANDARDIZED = {
    f'{name} standardized': standardized(LOSSES[name])
    for name in ('KDLoss', 'DKDLoss', 'RLDLoss')
}
