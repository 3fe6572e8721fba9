"""REVISION: its formula, pinned values, and batches of one kind of rows."""

import pytest
import torch
from torch.nn import functional as F

from mmkd_plugin.losses import REVISIONLoss, revision_loss
from tests.helpers.loss_cases import CASES, LABELS, PINNED, STUDENT, TEACHER
from tests.helpers.loss_checks import Loss, LossChecks
from tests.helpers.loss_oracles import exactly, softmax

NUMBERS = dict(alpha=4.0, beta=0.8)


@exactly
def oracle(student, teacher, labels, alpha, beta):
    values, rights = [], []
    for s, t, y in zip(student, teacher, labels, strict=True):
        p, q = softmax(s, 1), softmax(t, 1)
        rights.append(t.index(max(t)) == y)
        if rights[-1]:
            distance = sum((a - b) ** 2 for a, b in zip(s, t)) / len(s)
            values.append(alpha * distance - p[y].ln())
            continue
        share = beta / (max(q) - q[y] + 1)
        target = [share * x for x in q]
        target[y] += 1 - share
        values.append(sum((a - b) ** 2 for a, b in zip(p, target)) / len(p))
    return [
        value * len(values) / rights.count(right)
        for value, right in zip(values, rights)
    ]


class TestREVISION(LossChecks):
    loss = Loss(
        revision_loss,
        REVISIONLoss,
        oracle,
        dict(alpha=1.5),
        takes_labels=True,
        settings=dict(beta=0.8),
    )
    # It takes long, and the parts are those of other losses.
    test_compiled_by_inductor = None

    # The rows of a kind are counted within each process.
    test_equal_shares_equal_the_whole = None

    @pytest.mark.parametrize(
        'name', [name for name in CASES if '1e4' not in name]
    )
    def test_gradcheck(self, name):
        """Squares of 1e4 leave no digits for differences."""
        student, teacher, labels = CASES[name]
        torch.autograd.gradcheck(
            lambda z: self.loss.per_sample(z, teacher.double(), labels),
            student.double().requires_grad_(),
        )

    def test_numbers_that_papers_choose_differently_have_no_default(self):
        with pytest.raises(TypeError, match="required .* 'alpha' and 'beta'"):
            REVISIONLoss()


def test_pinned():
    value = revision_loss(*PINNED, **NUMBERS)
    expected = [7.117772847, 0.104375092, 22.8175]
    torch.testing.assert_close(value, torch.tensor(expected))


def test_right_teacher_gives_cross_entropy_and_distance():
    right = TEACHER.argmax(1)
    found = revision_loss(STUDENT, TEACHER, right, **NUMBERS).mean()
    wanted = F.cross_entropy(STUDENT, right)
    wanted = wanted + 4 * F.mse_loss(STUDENT, TEACHER)
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize('largest', [True, False])
def test_batch_of_one_kind(largest):
    """The mean of no rows would be NaN."""
    labels = TEACHER.argmax(1) if largest else TEACHER.argmin(1)
    student = STUDENT.clone().requires_grad_()
    value = REVISIONLoss(**NUMBERS)(student, TEACHER, labels)
    value.backward()
    assert value.isfinite() and student.grad.isfinite().all()


def test_each_kind_is_a_mean_of_its_own():
    right = TEACHER.argmax(1) == LABELS
    labels = torch.where(right, LABELS, TEACHER.argmin(1))
    labels[:2] = TEACHER[:2].argmax(1)
    right = TEACHER.argmax(1) == labels
    assert 0 < right.sum() < 5
    whole = revision_loss(STUDENT, TEACHER, labels, **NUMBERS).mean()
    parts = [
        revision_loss(STUDENT[k], TEACHER[k], labels[k], **NUMBERS).mean()
        for k in (right, ~right)
    ]
    torch.testing.assert_close(whole, sum(parts))


@pytest.mark.parametrize('beta', [-0.1, 1.5, None])
def test_share_is_one(beta):
    with pytest.raises(ValueError, match='`beta` to be a number from 0 to 1'):
        REVISIONLoss(alpha=4.0, beta=beta)
