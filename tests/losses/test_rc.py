"""RC: its formula, pinned values, and its target."""

import torch

from mmkd_plugin.losses import RCLoss, kd_loss, rc_loss
from tests.helpers.loss_cases import LABELS, PINNED, STUDENT, TEACHER
from tests.helpers.loss_checks import Loss, LossChecks, every_case, gradient
from tests.helpers.loss_oracles import exactly, kl, softmax


@exactly
def oracle(student, teacher, labels, alpha, beta, tau):
    values = []
    for s, t, y in zip(student, teacher, labels, strict=True):
        target = list(s)
        target[y] += max(s)
        own = softmax(s, tau)
        values.append(
            tau**2
            * (
                alpha * kl(softmax(t, tau), own)
                + beta * kl(softmax(target, tau), own)
            )
        )
    return values


class TestRC(LossChecks):
    loss = Loss(
        rc_loss,
        RCLoss,
        oracle,
        dict(alpha=1.5, beta=0.25, tau=2.0),
        takes_labels=True,
    )
    # It takes long, and the parts are those of other losses.
    test_compiled_by_inductor = None

    @every_case
    def test_gradcheck(self, case):
        """The target is a constant, though it is made from the student."""
        student, teacher, labels = (tensor.clone() for tensor in case)
        student, teacher = student.double().requires_grad_(), teacher.double()
        target = student.detach().clone()
        rows = torch.arange(len(labels))
        target[rows, labels] += target.amax(1)
        wanted = 1.5 * kd_loss(student, teacher, tau=2.0)
        wanted = wanted + 0.25 * kd_loss(student, target, tau=2.0)
        found = self.loss.per_sample(student, teacher, labels)
        torch.testing.assert_close(
            gradient(found.sum(), student), gradient(wanted.sum(), student)
        )


def test_pinned():
    value = rc_loss(*PINNED, alpha=1.0, beta=0.1, tau=4.0)
    expected = [0.4326044, 0.812740614, 1.373858904]
    torch.testing.assert_close(value, torch.tensor(expected))


def test_label_that_the_student_prefers_is_doubled():
    own = STUDENT.argmax(1)
    largest = STUDENT.amax(1)
    target = STUDENT.clone()
    target[torch.arange(5), own] = 2 * largest
    found = rc_loss(STUDENT, TEACHER, own, alpha=0.0, beta=1.0, tau=4.0)
    torch.testing.assert_close(found, kd_loss(STUDENT, target, tau=4.0))


def test_without_the_second_part_it_is_kd():
    found = rc_loss(STUDENT, TEACHER, LABELS, alpha=1.0, beta=0.0, tau=4.0)
    torch.testing.assert_close(found, kd_loss(STUDENT, TEACHER, tau=4.0))
