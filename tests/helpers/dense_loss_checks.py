"""What holds for every loss of the sigmoids of a dense head."""

import pytest
import torch
from torch import distributed as dist

from mmkd_plugin.losses.common import binary
from tests.helpers.group import everywhere, train_layer
from tests.helpers.loss_cases import LABELS, STUDENT, TEACHER, draw
from tests.helpers.loss_checks import WEIGHTS, LossChecks, gradient

# As LABELS, with background in two of the five rows.
BACKGROUND = LABELS.clone().index_fill(0, torch.tensor([1, 3]), 7)
POSITIVES = 3


def share_unequally(loss):
    """In each of two processes: unequal shares give what the whole gives.

    The first has 3 of 7 rows and 2 of 5 positives, both without the gradient
    of the mean of their own positives.
    """
    inputs = torch.randn(7, 6, generator=torch.Generator().manual_seed(1))
    _, teacher, labels = draw(7, 7, seed=2)
    labels[[1, 5]] = 7
    own = slice(0, 3) if dist.get_rank() == 0 else slice(3, 7)
    batch = (inputs, teacher, labels)
    value, grad = train_layer(
        loss, *(tensor[own] for tensor in batch), None, wrap=True
    )
    value = sum(everywhere(value)) / 2
    # The whole, in which this process has all rows and so have the others.
    expected = train_layer(loss, *batch, None, wrap=False)
    torch.testing.assert_close((value, grad), expected)


class DenseLossChecks(LossChecks):
    """Tests of the loss that a subclass sets as ``loss``."""

    # Whether places without label have a loss.
    background_counts = True

    def test_says_what_it_reads(self):
        assert self.loss.module.kind == 'sigmoid'
        tap = dict(type='DenseHeadTap')
        if not self.background_counts:
            tap['rows'] = 'positive'
        assert self.loss.module.default_tap == tap

    def test_rows_of_weight_zero_take_no_part(self):
        """They are positives all the same, by which the sum is divided."""
        module = self.loss.build()
        student = STUDENT.clone().requires_grad_()
        value = module(student, TEACHER, LABELS, WEIGHTS)
        keep = WEIGHTS > 0
        rows = self.loss.per_sample(STUDENT, TEACHER, LABELS)
        torch.testing.assert_close(value, (WEIGHTS * rows).sum() / 5)
        grad = gradient(value, student)
        assert grad[~keep].eq(0).all()
        assert grad[keep].ne(0).any(1).all()

    def test_divided_by_the_positives(self):
        module = self.loss.build()
        rows = self.loss.per_sample(STUDENT, TEACHER, BACKGROUND)
        for weights in (None, WEIGHTS):
            value = module(STUDENT, TEACHER, BACKGROUND, weights)
            total = rows.sum() if weights is None else (weights * rows).sum()
            torch.testing.assert_close(value, total / POSITIVES)

    def test_background(self):
        student = STUDENT.clone().requires_grad_()
        rows = self.loss.per_sample(student, TEACHER, BACKGROUND)
        none = BACKGROUND == 7
        wanted = self.loss.per_sample(STUDENT, TEACHER, LABELS)
        assert torch.equal(rows[~none], wanted[~none])
        grad = gradient(rows.sum(), student)
        assert grad[~none].ne(0).any(1).all()
        counts = self.background_counts
        assert rows[none].ne(0).all() == counts
        assert grad[none].ne(0).any() == counts

    def test_no_positives(self):
        """The divisor is 1; the value is attached."""
        student = STUDENT.clone().requires_grad_()
        labels = torch.full((5,), 7)
        value = self.loss.build()(student, TEACHER, labels)
        total = self.loss.per_sample(STUDENT, TEACHER, labels).sum()
        torch.testing.assert_close(value, total)
        assert (value != 0) == self.background_counts
        grad = gradient(value, student)
        assert grad.ne(0).any() == self.background_counts

    def test_some_rows_at_a_time(self, monkeypatch):
        results = []
        for size in (binary.SIZE, 14):
            monkeypatch.setattr(binary, 'SIZE', size)
            student = STUDENT.clone().requires_grad_()
            value = self.loss.per_sample(student, TEACHER, BACKGROUND)
            results.append((value.detach(), gradient(value.sum(), student)))
        torch.testing.assert_close(*results, rtol=1e-6, atol=1e-7)

    @pytest.mark.parametrize('size', [1e4, 30.0])
    def test_logits_that_are_far_out(self, size):
        student = torch.tensor([[size, -size, size, -size]])
        teacher = torch.tensor([[size, -size, -size, size]])
        student.requires_grad_()
        value = self.loss.per_sample(student, teacher, torch.tensor([0]))
        assert value.isfinite()
        grad = gradient(value.sum(), student)
        assert grad.isfinite().all()
        assert grad[0, :2].abs().max() < 1e-10

    def test_no_labels(self):
        with pytest.raises(TypeError, match='`labels` to be class ids'):
            self.loss.build()(STUDENT, TEACHER, None)

    @pytest.mark.slow
    def test_unequal_shares_equal_the_whole(self, group):
        group(2).run(share_unequally, self.loss.build(loss_weight=0.5))
