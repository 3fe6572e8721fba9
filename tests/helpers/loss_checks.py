"""What holds for every loss of logits: the tests of a loss inherit it."""

import shutil
import sysconfig
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import distributed as dist

from tests.helpers.group import everywhere, train_layer
from tests.helpers.loss_cases import CASES, LABELS, STUDENT, TEACHER, draw
from tests.helpers.shared_checks import SharedChecks

WEIGHTS = torch.tensor([1.0, 0.0, 0.5, 2.0, 0.0])
PYTHON_H = Path(sysconfig.get_path('include'), 'Python.h')
every_case = pytest.mark.parametrize('case', CASES.values(), ids=CASES.keys())


class Loss(NamedTuple):
    """A loss by its function, its module, its oracle and its numbers.

    Function, module and oracle are given ``settings`` beside the numbers.
    Given ``in_shares`` too, the mean over processes with equal shares of a
    batch is that of the batch.
    """

    function: object
    module: type
    oracle: object
    numbers: dict
    takes_labels: bool = False
    settings: dict = {}
    in_shares: dict = {}

    def arguments(self):
        """What its module is built from."""
        return {'loss_weight': 1.0, **self.numbers, **self.settings}

    def build(self, **changes):
        """The module with its numbers."""
        return self.module(**{**self.arguments(), **changes})

    def per_sample(self, student, teacher, labels):
        labels = (labels,) if self.takes_labels else ()
        return self.function(
            student, teacher, *labels, **self.numbers, **self.settings
        )

    def expected(self, student, teacher, labels):
        return self.oracle(
            student, teacher, labels, **self.numbers, **self.settings
        )


def gradient(value, student):
    return torch.autograd.grad(value, student)[0]


def assert_compiled_equals_eager(loss, backend, weights):
    torch.compiler.reset()
    module = loss.build()
    compiled = torch.compile(module, fullgraph=True, backend=backend)
    results = []
    for call in (module, compiled):
        student = STUDENT.clone().requires_grad_()
        value = call(student, TEACHER, LABELS, weights)
        results.append((value.detach(), gradient(value, student)))
    torch.testing.assert_close(*results, rtol=1e-5, atol=1e-6)


def share_equally(loss):
    """In each of four processes: equal shares give what the whole gives."""
    inputs = torch.randn(20, 6, generator=torch.Generator().manual_seed(1))
    _, teacher, labels = draw(20, 7, seed=2)
    own = slice(5 * dist.get_rank(), 5 * dist.get_rank() + 5)
    batch = (inputs, teacher, labels)
    value, grad = train_layer(
        loss, *(tensor[own] for tensor in batch), None, wrap=True
    )
    value = sum(everywhere(value)) / 4
    loss.gather = False
    expected = train_layer(loss, *batch, None, wrap=False)
    torch.testing.assert_close((value, grad), expected)


class LossChecks(SharedChecks):
    """Tests of the loss that a subclass sets as ``loss``."""

    loss: Loss

    @every_case
    def test_function_equals_oracle(self, case):
        expected = self.loss.expected(*case)
        value = self.loss.per_sample(*case)
        assert value.dtype == torch.float32
        torch.testing.assert_close(
            value.double(), expected, rtol=1e-5, atol=4e-6
        )
        student, teacher, labels = case
        value = self.loss.per_sample(
            student.double(), teacher.double(), labels
        )
        assert value.dtype == torch.float64
        torch.testing.assert_close(value, expected, rtol=1e-11, atol=1e-13)

    @every_case
    def test_module_is_the_weighted_mean(self, case):
        module = self.loss.build(loss_weight=3.0)
        rows = self.loss.expected(*case)
        value = module(*case).double() / 3
        torch.testing.assert_close(value, rows.mean(), rtol=1e-5, atol=4e-6)
        weights = torch.arange(1.0, len(rows) + 1)
        expected = (weights * rows).sum() / len(rows)
        value = module(*case, weights=weights)
        assert value.dtype == torch.float32 and value.shape == ()
        value = value.double() / 3
        torch.testing.assert_close(value, expected, rtol=1e-5, atol=4e-6)

    @every_case
    def test_gradcheck(self, case):
        student, teacher, labels = case
        student = student.double().requires_grad_()
        torch.autograd.gradcheck(
            lambda z: self.loss.per_sample(z, teacher.double(), labels),
            student,
        )

    @every_case
    def test_float32_gradient_equals_float64_gradient(self, case):
        student, teacher, labels = case
        wide = student.double().requires_grad_()
        expected = gradient(
            self.loss.per_sample(wide, teacher.double(), labels).sum(), wide
        )
        student = student.clone().requires_grad_()
        grad = gradient(
            self.loss.per_sample(student, teacher, labels).sum(), student
        )
        torch.testing.assert_close(
            grad.double(), expected, rtol=1e-4, atol=2e-6
        )

    @pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
    @every_case
    def test_half_precision_equals_float32(self, case, dtype):
        student, teacher, labels = case
        student = student.to(dtype).requires_grad_()
        teacher = teacher.to(dtype)
        value = self.loss.per_sample(student, teacher, labels)
        wide = student.detach().float().requires_grad_()
        expected = self.loss.per_sample(wide, teacher.float(), labels)
        assert value.dtype == torch.float32
        assert torch.equal(value, expected)
        grad = gradient(value.sum(), student)
        assert grad.isfinite().all()
        assert torch.equal(grad, gradient(expected.sum(), wide).to(dtype))

    def test_types_may_differ(self):
        value = self.loss.per_sample(STUDENT.half(), TEACHER, LABELS)
        expected = self.loss.per_sample(
            STUDENT.half().float(), TEACHER, LABELS
        )
        assert torch.equal(value, expected)

    @pytest.mark.parametrize(
        'device, dtype',
        [
            ('cpu', torch.bfloat16),
            pytest.param(
                'cuda',
                torch.float16,
                marks=pytest.mark.skipif(
                    not torch.cuda.is_available(), reason='needs a CUDA device'
                ),
            ),
        ],
    )
    def test_autocast_changes_nothing(self, device, dtype):
        batch = [tensor.to(device) for tensor in (STUDENT, TEACHER, LABELS)]
        module = self.loss.build()
        expected = module(*batch)
        with torch.autocast(device, dtype):
            value = module(*batch)
        assert torch.equal(value, expected)

    @pytest.mark.parametrize('weights', [None, torch.zeros(0)])
    def test_empty_batch_gives_an_attached_zero(self, weights):
        student = torch.zeros(0, 7, requires_grad=True)
        labels = torch.zeros(0, dtype=torch.int64)
        module = self.loss.build()
        value = module(student, torch.zeros(0, 7), labels, weights)
        assert value.item() == 0
        assert gradient(value, student).shape == (0, 7)

    def test_rows_of_weight_zero_take_no_part(self):
        module = self.loss.build()
        student = STUDENT.clone().requires_grad_()
        value = module(student, TEACHER, LABELS, WEIGHTS)
        keep = WEIGHTS > 0
        expected = module(
            STUDENT[keep], TEACHER[keep], LABELS[keep], WEIGHTS[keep]
        )
        torch.testing.assert_close(value.detach(), expected)
        grad = gradient(value, student)
        assert grad[~keep].eq(0).all()
        assert grad[keep].ne(0).any(1).all()

    def test_all_weights_zero(self):
        student = STUDENT.clone().requires_grad_()
        value = self.loss.build()(student, TEACHER, LABELS, torch.zeros(5))
        assert value.item() == 0
        assert gradient(value, student).eq(0).all()

    def test_weights_may_be_of_another_type(self):
        module = self.loss.build()
        expected = module(STUDENT, TEACHER, LABELS, WEIGHTS)
        for weights in (WEIGHTS.half(), WEIGHTS.double()):
            value = module(STUDENT, TEACHER, LABELS, weights)
            assert value.dtype == torch.float32
            assert torch.equal(value, expected)

    def test_order_of_the_rows_does_not_matter(self):
        order = torch.tensor([3, 0, 4, 2, 1])
        rows = self.loss.per_sample(STUDENT, TEACHER, LABELS)
        moved = self.loss.per_sample(
            STUDENT[order], TEACHER[order], LABELS[order]
        )
        torch.testing.assert_close(moved, rows[order])

    def test_teacher_gets_no_gradient(self):
        student = STUDENT.clone().requires_grad_()
        teacher = TEACHER.clone().requires_grad_()
        value = self.loss.build()(student, teacher, LABELS)
        value.backward()
        assert student.grad.ne(0).any()
        assert teacher.grad is None

    @pytest.mark.slow
    @pytest.mark.parametrize('weights', [None, WEIGHTS])
    def test_compiled_without_graph_break(self, weights):
        assert_compiled_equals_eager(self.loss, 'aot_eager', weights)

    @pytest.mark.slow
    @pytest.mark.skipif(
        not (shutil.which('g++') and PYTHON_H.exists()),
        reason='torch.compile needs g++ and the headers of Python',
    )
    def test_compiled_by_inductor(self):
        assert_compiled_equals_eager(self.loss, 'inductor', WEIGHTS)

    def test_default_numbers(self):
        """Leaving an argument out is the same as giving its default."""
        module = self.loss.build()
        numbers = {name: getattr(module, name) for name in self.loss.numbers}
        labels = (LABELS,) if self.loss.takes_labels else ()
        rows = self.loss.function(
            STUDENT, TEACHER, *labels, **numbers, **self.loss.settings
        )
        expected = module.loss_weight * rows.mean()
        assert torch.equal(module(STUDENT, TEACHER, LABELS), expected)

    @pytest.mark.parametrize('shape', [(5, 8), (4, 7), (5, 7, 1)])
    def test_shapes_that_differ(self, shape):
        message = r'`student` and `teacher` .* got \(5, 7\) and \(' + str(
            shape[0]
        )
        with pytest.raises(ValueError, match=message):
            self.loss.per_sample(STUDENT, torch.zeros(shape), LABELS)

    def test_weights_of_a_wrong_shape(self):
        with pytest.raises(
            ValueError, match=r'`weights` .* \(5,\) but got \(4,'
        ):
            self.loss.build()(STUDENT, TEACHER, LABELS, torch.ones(4))

    def test_labels_that_are_no_class_ids(self):
        """They are refused, or of no account."""
        module = self.loss.build()
        soft = TEACHER.softmax(1)
        if not self.loss.takes_labels:
            expected = module(STUDENT, TEACHER, None)
            assert torch.equal(module(STUDENT, TEACHER, soft), expected)
            return
        message = 'torch.int64 but got torch.float32'
        with pytest.raises(TypeError, match=message):
            module(STUDENT, TEACHER, soft)
        one_hot = torch.nn.functional.one_hot(LABELS, 7)
        with pytest.raises(ValueError, match=r'\(5,\) but got \(5, 7\)'):
            module(STUDENT, TEACHER, one_hot)

    def test_numbers_that_papers_choose_differently_have_no_default(self):
        with pytest.raises(TypeError, match="required .* 'tau"):
            self.loss.module()

    @pytest.mark.slow
    def test_equal_shares_equal_the_whole(self, group):
        loss = self.loss.build(loss_weight=0.5, **self.loss.in_shares)
        group(4).run(share_equally, loss)


def standardized(loss):
    """The same loss of standardised logits."""
    return loss._replace(settings=dict(standardize=True))


class StandardizedChecks(LossChecks):
    """Tests of a loss of standardised logits."""

    # As for the loss without it, which has the same code behind.
    test_compiled_by_inductor = None
    test_equal_shares_equal_the_whole = None

    def test_positive_affine_change_of_a_row(self):
        generator = torch.Generator().manual_seed(4)
        student, teacher = STUDENT.double(), TEACHER.double()
        rows = self.loss.per_sample(student, teacher, LABELS)
        shift, power = torch.rand(2, 5, 1, generator=generator).double()
        for changed in [
            (student * 1000**power + 50 * shift, teacher),
            (student, teacher * 1000**power - 50 * shift),
        ]:
            torch.testing.assert_close(
                self.loss.per_sample(*changed, LABELS), rows, rtol=1e-6, atol=0
            )

    @pytest.mark.parametrize('value', [0.0, 0.1, -1e4 / 3])
    @pytest.mark.parametrize('role', ['student', 'teacher'])
    def test_row_of_equal_logits(self, role, value):
        """It counts as zeros, and the student's gets no gradient."""
        batch = dict(student=STUDENT.clone(), teacher=TEACHER.clone())
        batch[role][0] = value
        expected = self.loss.expected(**batch, labels=LABELS)
        student, teacher = batch['student'].requires_grad_(), batch['teacher']
        values = self.loss.per_sample(student, teacher, LABELS)
        torch.testing.assert_close(
            values.double(), expected, rtol=1e-5, atol=2e-6
        )
        grad = torch.autograd.grad(values.sum(), student)[0]
        assert grad.isfinite().all()
        silent = torch.arange(5).eq(0) & (role == 'student')
        assert torch.equal(grad.eq(0).all(1), silent)
