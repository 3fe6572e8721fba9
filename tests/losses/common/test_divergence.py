"""The divergences where the losses' own tests do not look."""

import pytest
import torch

from mmkd_plugin.losses import DKDLoss, KDLoss, RLDLoss
from mmkd_plugin.losses.common import divergence
from tests.helpers.kept import kept_for_backward
from tests.helpers.loss_cases import LABELS, STUDENT, TEACHER, draw


def test_one_minus_p_keeps_its_digits():
    logits = torch.tensor([[40.0, 0.0, 0.0]])
    assert 1 - logits.softmax(1)[0, 0] == 0
    for label, expected in ((0, 40 - torch.tensor(2.0).log()), (1, -40)):
        binary, _ = divergence._one_vs_rest(
            logits.clone(), torch.tensor([[label]])
        )
        log_odds = binary[0, 0] - binary[0, 1]
        torch.testing.assert_close(log_odds, torch.as_tensor(expected * 1.0))


def test_softmax_kl_leaves_masked_classes_out():
    student, teacher = torch.randn(2, 4, 6, dtype=torch.float64)
    masked = torch.zeros(4, 6, dtype=torch.bool)
    masked[:, [1, 4]] = True
    kept = [0, 2, 3, 5]
    found = divergence.softmax_kl(student, teacher, tau=2.0, masked=masked)
    expected = divergence.softmax_kl(
        student[:, kept], teacher[:, kept], tau=2.0
    )
    torch.testing.assert_close(found.values, expected.values)
    torch.testing.assert_close(found.gradient[:, kept], expected.gradient)
    assert found.gradient[masked].eq(0).all()


def test_logits_are_not_overwritten():
    student, teacher = STUDENT.clone(), TEACHER.clone()
    masked = teacher > 0
    divergence.softmax_kl(student, teacher, tau=1.0, masked=masked)
    divergence.class_kl(student, teacher, LABELS, LABELS, tau=1.0)
    assert torch.equal(student, STUDENT)
    assert torch.equal(teacher, TEACHER)


@pytest.mark.parametrize(
    'loss',
    [
        KDLoss(tau=1.0),
        DKDLoss(beta=0.25, tau=1.0),
        RLDLoss(beta=8.0, tau_scd=1.0, tau_mcd=4.0),
    ],
    ids=lambda loss: type(loss).__name__,
)
def test_one_tensor_is_kept_for_backward(loss):
    student, teacher, labels = draw(6, 50, seed=0)
    student.requires_grad_()
    sizes = kept_for_backward(lambda: loss(student, teacher, labels))
    assert sorted(sizes)[-1] == 6 * 50
    assert sum(sizes) < 2 * 6 * 50


def test_backward_may_be_repeated_but_not_differentiated():
    student = STUDENT.clone().requires_grad_()
    term = divergence.softmax_kl(student, TEACHER, tau=1.0)
    value = divergence.weighted_sum(student, (1.0, term)).square().sum()
    results = [
        torch.autograd.grad(value, student, retain_graph=True)[0]
        for _ in range(2)
    ]
    assert torch.equal(*results)
    (grad,) = torch.autograd.grad(value, student, create_graph=True)
    with pytest.raises(RuntimeError, match='once_differentiable'):
        grad.sum().backward()
