"""InfoNCE in blocks: the naive formula's results, linear memory."""

import pytest
import torch
import torch.nn.functional as F

from mmkd_plugin.losses import CKDLoss
from mmkd_plugin.losses.common import info_nce
from tests.helpers.kept import kept_for_backward
from tests.helpers.loss_cases import draw

ROWS, ANCHORS, _ = draw(9, 4, seed=0)
ANCHORS = ANCHORS[:6]
LABELS = torch.tensor([0, 1, 0, 2, 1, 0, 0, 3, 1])
ABSENT = torch.tensor([0, 1, 0, 0, 0, 1, 0, 1, 0]).bool()


def naive(rows, anchors, tau, absent=None, labels=None):
    similarity = anchors @ rows.T / tau
    left_out = torch.zeros_like(similarity, dtype=torch.bool)
    if labels is not None:
        left_out |= labels[: len(anchors), None] == labels
        left_out.fill_diagonal_(False)
    if absent is not None:
        left_out |= absent
    similarity = similarity.masked_fill(left_out, -torch.inf)
    return similarity.logsumexp(1) - similarity.diagonal()


@pytest.mark.parametrize('absent', [None, ABSENT], ids=['all', 'absent'])
@pytest.mark.parametrize('labels', [None, LABELS], ids=['', 'labels'])
@pytest.mark.parametrize('block', [1, 18, 25, 53, 54])
def test_equals_the_naive_formula(monkeypatch, block, labels, absent):
    """Blocks of 1, of 2, of 2, of 5 and 1, of all of the six anchors."""
    monkeypatch.setattr(info_nce, 'BLOCK', block)
    present = torch.ones(6).bool() if absent is None else ~absent[:6]
    rows, anchors = ROWS.double(), ANCHORS.double()
    weights = torch.arange(1.0, 7.0)[present]
    results = []
    for function in (info_nce.info_nce, naive):
        rows = rows.detach().requires_grad_()
        values = function(
            rows, anchors, tau=0.5, absent=absent, labels=labels
        )[present]
        (weights * values).sum().backward()
        results.append((values.detach(), rows.grad))
    torch.testing.assert_close(*results)


@pytest.mark.parametrize('block', [1, 20, 1000])
@pytest.mark.parametrize('labels', [None, LABELS], ids=['', 'labels'])
def test_gradcheck(monkeypatch, block, labels):
    monkeypatch.setattr(info_nce, 'BLOCK', block)
    torch.autograd.gradcheck(
        lambda rows: info_nce.info_nce(
            rows, ANCHORS.double(), tau=0.5, labels=labels
        ),
        ROWS.double().requires_grad_(),
    )


def test_blocks_are_no_larger_than_allowed(monkeypatch):
    for anchors, rows in ((0, 0), (0, 3), (1, 1), (7, 7), (7, 30), (5, 1000)):
        pair = torch.empty(rows, 2), torch.empty(anchors, 2)
        for limit in (1, 10, 49, 50, 10**6):
            monkeypatch.setattr(info_nce, 'BLOCK', limit)
            blocks = info_nce._blocks(*pair)
            covered = [i for b in blocks for i in range(b.start, b.stop)]
            assert covered == list(range(anchors))
            for block in blocks:
                size = block.stop - block.start
                assert size * rows <= limit or size == 1
            assert len(blocks) == 1 or anchors * rows > limit


@pytest.mark.parametrize('anchors, rows', [(0, 0), (0, 3), (1, 1), (1, 3)])
def test_few_rows(monkeypatch, anchors, rows):
    expected = torch.zeros(anchors)
    if rows > 1:
        expected = naive(ROWS[:rows], ANCHORS[:anchors], 1.0)
    for block in (1, 1000):
        monkeypatch.setattr(info_nce, 'BLOCK', block)
        part = ROWS[:rows].clone().requires_grad_()
        values = info_nce.info_nce(part, ANCHORS[:anchors], tau=1.0)
        torch.testing.assert_close(values.detach(), expected)
        values.sum().backward()
        assert part.grad.isfinite().all()


def kept(rows, loss):
    student, teacher, labels = draw(rows, 8, seed=1)
    student.requires_grad_()
    return kept_for_backward(lambda: loss(student, teacher, labels))


@pytest.mark.parametrize('same', [True, False])
def test_what_is_kept_grows_with_the_rows(monkeypatch, same):
    monkeypatch.setattr(info_nce, 'BLOCK', 1000)
    loss = CKDLoss(same_class_negatives=same, tau=1.0, loss_weight=1.0)
    few, many = kept(64, loss), kept(128, loss)
    assert sum(many) <= 2 * sum(few)
    # Both logits, scaled to length 1, are the largest.
    assert max(many) == 128 * 8
    assert sum(many) < 3 * 128 * 8


def test_a_matrix_of_all_pairs_would_be_noticed():
    def quadratic(student, teacher, labels):
        return F.cross_entropy(teacher @ student.T, torch.arange(len(labels)))

    assert max(kept(128, quadratic)) == 128 * 128


@pytest.mark.parametrize('block', [1000, 10**6])
def test_precision_under_autocast(monkeypatch, block):
    monkeypatch.setattr(info_nce, 'BLOCK', block)
    student, teacher, _ = draw(64, 8, seed=1)
    results = []
    for enabled in (False, True):
        student = student.detach().requires_grad_()
        with torch.autocast('cpu', torch.bfloat16, enabled=enabled):
            value = CKDLoss(tau=1.0, loss_weight=1.0)(student, teacher, None)
            value.backward()
        results.append((value.detach(), student.grad))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])


@pytest.mark.parametrize('block', [1000, 10**6])
def test_backward_may_be_repeated_but_not_differentiated(monkeypatch, block):
    monkeypatch.setattr(info_nce, 'BLOCK', block)
    rows, anchors, _ = draw(64, 8, seed=1)
    rows.requires_grad_()
    value = info_nce.info_nce(rows, anchors, tau=1.0).square().sum()
    results = [
        torch.autograd.grad(value, rows, retain_graph=True)[0]
        for _ in range(2)
    ]
    assert torch.equal(*results)
    (grad,) = torch.autograd.grad(value, rows, create_graph=True)
    with pytest.raises(RuntimeError, match='once_differentiable'):
        grad.sum().backward()


@pytest.mark.slow
def test_compiled_for_any_number_of_rows(monkeypatch):
    """Once for all numbers; several blocks are left as they are."""
    torch.compiler.reset()
    loss = CKDLoss(tau=1.0, loss_weight=1.0)
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(loss, backend=backend, dynamic=True)
    for rows in (40, 41, 50):
        batch = draw(rows, 8, seed=rows)
        torch.testing.assert_close(compiled(*batch), loss(*batch))
    assert len(graphs) == 1
    monkeypatch.setattr(info_nce, 'BLOCK', 1000)
    batch = draw(64, 8, seed=1)
    torch.testing.assert_close(compiled(*batch), loss(*batch))
