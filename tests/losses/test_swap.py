"""SWAP: its formula, pinned values, and where it is KD."""

import torch

from mmkd_plugin.losses import SWAPLoss, kd_loss, swap_loss
from tests.helpers.loss_cases import LABELS, PINNED, STUDENT, TEACHER
from tests.helpers.loss_checks import Loss, LossChecks
from tests.helpers.loss_oracles import exactly, kl, softmax


@exactly
def oracle(student, teacher, labels, tau):
    values = []
    for s, t, y in zip(student, teacher, labels, strict=True):
        top = t.index(max(t))
        t[top], t[y] = t[y], t[top]
        values.append(tau**2 * kl(softmax(t, tau), softmax(s, tau)))
    return values


class TestSWAP(LossChecks):
    loss = Loss(swap_loss, SWAPLoss, oracle, dict(tau=4.0), takes_labels=True)
    # It takes long, and the parts are those of other losses.
    test_compiled_by_inductor = None


def test_pinned():
    """The teacher is right in rows 0 and 2."""
    value = swap_loss(*PINNED, tau=4.0)
    expected = [0.388163523, 0.391257968, 1.296154666]
    torch.testing.assert_close(value, torch.tensor(expected))


def test_where_the_teacher_is_right_it_is_kd():
    right = TEACHER.argmax(1)
    value = swap_loss(STUDENT, TEACHER, right, tau=4.0)
    assert torch.equal(value, kd_loss(STUDENT, TEACHER, tau=4.0))
    assert not value.equal(swap_loss(STUDENT, TEACHER, LABELS, tau=4.0))
