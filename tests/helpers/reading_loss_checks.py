"""What holds for every loss of vectors or class maps of images.

Each is one tensor of the student and one of the teacher, a row per image.
"""

from typing import NamedTuple

import pytest
import torch

from tests.helpers.shared_checks import SharedChecks


class ReadingLoss(NamedTuple):
    """A loss by its module, its oracle, its numbers and its cases.

    ``oracle(student, teacher, **numbers, **settings)`` gets float64 and gives
    the loss of the batch at weight 1.  A case is a student's and a teacher's
    tensor; the first of them has at least five rows.
    """

    module: type
    oracle: object
    numbers: dict
    cases: dict
    settings: dict = {}

    def arguments(self):
        """What its module is built from."""
        return dict(loss_weight=1.0, **self.numbers, **self.settings)

    def build(self, **changes):
        return self.module(**{**self.arguments(), **changes})

    def expected(self, student, teacher):
        return self.oracle(
            student.double(), teacher.double(), **self.numbers, **self.settings
        )


def value_and_gradient(module, student, teacher, weights=None):
    student = student.clone().requires_grad_()
    value = module(student, teacher, None, weights)
    return value.detach(), torch.autograd.grad(value, student)[0]


class ReadingLossChecks(SharedChecks):
    """Tests of the loss that a subclass sets as ``loss``."""

    loss: ReadingLoss

    @property
    def usual(self):
        return next(iter(self.loss.cases.values()))

    def each_case(self):
        return self.loss.cases.values()

    def test_says_what_it_reads(self):
        kinds = dict(PooledTap='vectors', ClassMapTap='class_maps')
        tap = self.loss.module.default_tap['type']
        assert self.loss.module.kind == kinds[tap]

    def test_equals_oracle(self):
        for student, teacher in self.each_case():
            expected = self.loss.expected(student, teacher)
            value = self.loss.build()(student, teacher, None)
            assert value.dtype == torch.float32 and value.shape == ()
            torch.testing.assert_close(
                value.double(), expected, rtol=2e-5, atol=1e-6
            )
            value = self.loss.build()(student.double(), teacher.double(), None)
            torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-12)

    def test_gradcheck(self):
        for student, teacher in self.each_case():
            wide = student.double().requires_grad_(), teacher.double()
            torch.autograd.gradcheck(self.loss.build(), (*wide, None))

    @pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
    def test_half_precision_equals_float32(self, dtype):
        for student, teacher in self.each_case():
            student, teacher = student.to(dtype), teacher.to(dtype)
            module = self.loss.build()
            value, grad = value_and_gradient(module, student, teacher)
            expected, wide = value_and_gradient(
                module, student.float(), teacher.float()
            )
            assert value.dtype == torch.float32
            assert torch.equal(value, expected)
            assert torch.equal(grad, wide.to(dtype))

    def test_autocast_of_the_tensors_changes_nothing(self):
        student, teacher = self.usual
        found = self.loss.build()(student.half(), teacher, None)
        expected = self.loss.build()(student.half().float(), teacher, None)
        assert torch.equal(found, expected)

    def test_teacher_gets_no_gradient(self):
        student, teacher = (x.clone().requires_grad_() for x in self.usual)
        self.loss.build()(student, teacher, None).backward()
        assert student.grad.ne(0).any()
        assert teacher.grad is None

    def test_loss_weight_scales_value_and_gradient(self):
        value, grad = value_and_gradient(self.loss.build(), *self.usual)
        found, scaled = value_and_gradient(
            self.loss.build(loss_weight=3.0), *self.usual
        )
        assert value > 0
        torch.testing.assert_close(found, 3 * value)
        torch.testing.assert_close(scaled, 3 * grad)

    @pytest.mark.parametrize('scale', [1e4, 1e-4])
    @pytest.mark.parametrize('offset', [0, 1e4])
    def test_large_and_small_values(self, scale, offset):
        student, teacher = (scale * x + offset for x in self.usual)
        value, grad = value_and_gradient(self.loss.build(), student, teacher)
        assert value.isfinite() and grad.isfinite().all()

    @pytest.mark.parametrize('constant', [0.0, 0.1, -1e4 / 3])
    @pytest.mark.parametrize('role', [[0], [1], [0, 1]])
    def test_constants(self, role, constant):
        batch = [x.clone() for x in self.usual]
        for each in role:
            batch[each].fill_(constant)
        value, grad = value_and_gradient(self.loss.build(), *batch)
        assert value.isfinite() and grad.isfinite().all()
        # Not beyond what rounding makes of a number near 0.
        assert grad.abs().max() < 1e3

    def test_equal_rows(self):
        student, teacher = (x.clone() for x in self.usual)
        student[1] = student[0]
        teacher[3] = teacher[2]
        value, grad = value_and_gradient(self.loss.build(), student, teacher)
        assert value.isfinite() and grad.abs().max() < 1e3

    @pytest.mark.parametrize('weights', [None, torch.zeros(0)])
    def test_empty_batch_gives_an_attached_zero(self, weights):
        batch = (x[:0] for x in self.usual)
        value, grad = value_and_gradient(self.loss.build(), *batch, weights)
        assert value == 0 and grad.numel() == 0

    @pytest.mark.parametrize('count', [1, 2])
    def test_few_images(self, count):
        batch = (x[:count] for x in self.usual)
        value, grad = value_and_gradient(self.loss.build(), *batch)
        assert value.isfinite() and grad.isfinite().all()

    def test_rows_of_weight_zero_take_no_part(self):
        student, teacher = self.usual
        weights = torch.ones(len(student))
        weights[[1, 4]] = 0
        keep = weights > 0
        module = self.loss.build()
        value, grad = value_and_gradient(module, student, teacher, weights)
        expected, kept = value_and_gradient(
            module, student[keep], teacher[keep]
        )
        torch.testing.assert_close(value, expected)
        torch.testing.assert_close(grad[keep], kept)
        assert grad[~keep].eq(0).all()
        value, grad = value_and_gradient(
            module, student, teacher, torch.zeros(len(student))
        )
        assert value == 0 and grad.eq(0).all()

    def test_order_of_the_images_does_not_matter(self):
        student, teacher = self.usual
        order = torch.randperm(
            len(student), generator=torch.Generator().manual_seed(0)
        )
        module = self.loss.build()
        torch.testing.assert_close(
            module(student[order], teacher[order], None),
            module(student, teacher, None),
        )

    def test_other_numbers_of_images(self):
        student, teacher = self.usual
        tap = self.loss.module.default_tap['type']
        with pytest.raises(ValueError, match=f'of the same images.*{tap}'):
            self.loss.build()(student, teacher[1:], None)
        with pytest.raises(ValueError, match=f'but got .*a tuple.*{tap}'):
            self.loss.build()((student,), teacher, None)

    def test_numbers_that_papers_choose_differently_have_no_default(self):
        with pytest.raises(TypeError, match='required keyword-only arg'):
            self.loss.module()

    @pytest.mark.slow
    def test_compiled_equals_eager(self):
        torch.compiler.reset()
        module = self.loss.build()
        compiled = torch.compile(module, backend='aot_eager')
        torch.testing.assert_close(
            value_and_gradient(compiled, *self.usual),
            value_and_gradient(module, *self.usual),
        )
