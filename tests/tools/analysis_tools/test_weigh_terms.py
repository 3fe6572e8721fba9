"""tools/analysis_tools/weigh_terms.py: the pull of a term."""

import math

import pytest
import torch
import weigh_terms

from mmkd_plugin.losses import CKDLoss, KDLoss


def draw(rows, classes=5):
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randn(rows, classes, generator=generator),
        torch.randn(rows, classes, generator=generator),
        torch.randint(classes, (rows,), generator=generator),
        torch.ones(rows),
    )


def test_pull_of_kd_is_the_distance_of_the_probabilities():
    student, teacher, labels, weights = draw(6)
    value, found = weigh_terms.pull(
        KDLoss(tau=1.0), student, teacher, labels, weights
    )
    gap = student.softmax(1) - teacher.softmax(1)
    assert found == pytest.approx(gap.norm(dim=1).mean().item(), rel=1e-5)
    assert value > 0


def test_pull_of_ckd_does_not_grow_with_the_rows():
    """Its value does, as ln N."""
    table = weigh_terms.weigh(
        dict(loss_ckd=CKDLoss(tau=1.0, loss_weight=1.0)),
        draw(2048),
        [128, 1024],
    )
    (small, name, low, weak), (large, _, high, strong) = table
    assert (small, large, name) == (128, 1024, 'loss_ckd')
    assert high - low == pytest.approx(math.log(8), abs=0.02)
    assert strong == pytest.approx(weak, rel=0.05)
    text = weigh_terms.make_table(table)
    assert '|  1024 | 6.93 | loss_ckd |' in text


def test_pull_is_proportional_to_the_weight():
    rows = draw(64)
    losses = dict(
        loss_one=KDLoss(tau=1.0), loss_three=KDLoss(tau=1.0, loss_weight=3.0)
    )
    (*_, one), (*_, three) = weigh_terms.weigh(losses, rows, [64])
    assert three == pytest.approx(3 * one)
