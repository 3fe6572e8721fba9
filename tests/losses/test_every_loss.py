"""What holds for every loss: one table of cases, run through all of it."""

import shutil
import sysconfig
from pathlib import Path

import pytest
import torch

from mmkd_plugin.losses import __all__ as public_names
from tests.helpers.loss_cases import (
    CASES,
    LABELS,
    LOSSES,
    STANDARDIZED,
    STUDENT,
    TEACHER,
)

WEIGHTS = torch.tensor([1.0, 0.0, 0.5, 2.0, 0.0])
PYTHON_H = Path(sysconfig.get_path('include'), 'Python.h')
EVERY_LOSS = LOSSES | STANDARDIZED


@pytest.fixture(params=EVERY_LOSS.values(), ids=EVERY_LOSS.keys())
def loss(request):
    return request.param


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def case(request):
    return request.param


def gradient(value, student):
    return torch.autograd.grad(value, student)[0]


def test_table_has_every_loss():
    classes = {name for name in public_names if name.endswith('Loss')}
    assert classes == set(LOSSES)


def test_function_equals_oracle(loss, case):
    expected = loss.expected(*case)
    value = loss.per_sample(*case)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=4e-6)
    student, teacher, labels = case
    value = loss.per_sample(student.double(), teacher.double(), labels)
    assert value.dtype == torch.float64
    torch.testing.assert_close(value, expected, rtol=1e-11, atol=1e-13)


def test_module_is_the_weighted_mean(loss, case):
    module = loss.module(**loss.numbers, loss_weight=3.0)
    factor = 3 * loss.factor
    rows = loss.expected(*case)
    value = module(*case).double() / factor
    torch.testing.assert_close(value, rows.mean(), rtol=1e-5, atol=4e-6)
    weights = torch.arange(1.0, len(rows) + 1)
    expected = (weights * rows).sum() / len(rows)
    value = module(*case, weights=weights)
    assert value.dtype == torch.float32 and value.shape == ()
    value = value.double() / factor
    torch.testing.assert_close(value, expected, rtol=1e-5, atol=4e-6)


def test_gradcheck(loss, case):
    student, teacher, labels = case
    student = student.double().requires_grad_()
    torch.autograd.gradcheck(
        lambda z: loss.per_sample(z, teacher.double(), labels), student
    )


def test_float32_gradient_equals_float64_gradient(loss, case):
    student, teacher, labels = case
    wide = student.double().requires_grad_()
    expected = gradient(
        loss.per_sample(wide, teacher.double(), labels).sum(), wide
    )
    student = student.clone().requires_grad_()
    grad = gradient(loss.per_sample(student, teacher, labels).sum(), student)
    torch.testing.assert_close(grad.double(), expected, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_equals_float32(loss, case, dtype):
    student, teacher, labels = case
    student = student.to(dtype).requires_grad_()
    teacher = teacher.to(dtype)
    value = loss.per_sample(student, teacher, labels)
    wide = student.detach().float().requires_grad_()
    expected = loss.per_sample(wide, teacher.float(), labels)
    assert value.dtype == torch.float32
    assert torch.equal(value, expected)
    grad = gradient(value.sum(), student)
    assert grad.isfinite().all()
    assert torch.equal(grad, gradient(expected.sum(), wide).to(dtype))


def test_types_may_differ(loss):
    value = loss.per_sample(STUDENT.half(), TEACHER, LABELS)
    expected = loss.per_sample(STUDENT.half().float(), TEACHER, LABELS)
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
def test_autocast_changes_nothing(loss, device, dtype):
    batch = [tensor.to(device) for tensor in (STUDENT, TEACHER, LABELS)]
    module = loss.module(**loss.numbers)
    expected = module(*batch)
    with torch.autocast(device, dtype):
        value = module(*batch)
    assert torch.equal(value, expected)


@pytest.mark.parametrize('weights', [None, torch.zeros(0)])
def test_empty_batch_gives_an_attached_zero(loss, weights):
    student = torch.zeros(0, 7, requires_grad=True)
    labels = torch.zeros(0, dtype=torch.int64)
    module = loss.module(**loss.numbers)
    value = module(student, torch.zeros(0, 7), labels, weights)
    assert value.item() == 0
    assert gradient(value, student).shape == (0, 7)


def test_rows_of_weight_zero_take_no_part(loss):
    module = loss.module(**loss.numbers)
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


def test_all_weights_zero(loss):
    student = STUDENT.clone().requires_grad_()
    value = loss.module()(student, TEACHER, LABELS, torch.zeros(5))
    assert value.item() == 0
    assert gradient(value, student).eq(0).all()


def test_weights_may_be_of_another_type(loss):
    module = loss.module(**loss.numbers)
    expected = module(STUDENT, TEACHER, LABELS, WEIGHTS)
    for weights in (WEIGHTS.half(), WEIGHTS.double()):
        value = module(STUDENT, TEACHER, LABELS, weights)
        assert value.dtype == torch.float32
        assert torch.equal(value, expected)


def test_order_of_the_rows_does_not_matter(loss):
    order = torch.tensor([3, 0, 4, 2, 1])
    rows = loss.per_sample(STUDENT, TEACHER, LABELS)
    moved = loss.per_sample(STUDENT[order], TEACHER[order], LABELS[order])
    torch.testing.assert_close(moved, rows[order])


def test_teacher_gets_no_gradient(loss):
    student = STUDENT.clone().requires_grad_()
    teacher = TEACHER.clone().requires_grad_()
    value = loss.module(**loss.numbers)(student, teacher, LABELS)
    value.backward()
    assert student.grad.ne(0).any()
    assert teacher.grad is None


def assert_compiled_equals_eager(loss, backend, weights):
    torch.compiler.reset()
    module = loss.module(**loss.numbers)
    compiled = torch.compile(module, fullgraph=True, backend=backend)
    results = []
    for call in (module, compiled):
        student = STUDENT.clone().requires_grad_()
        value = call(student, TEACHER, LABELS, weights)
        results.append((value.detach(), gradient(value, student)))
    torch.testing.assert_close(*results, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('weights', [None, WEIGHTS])
def test_compiled_without_graph_break(loss, weights):
    assert_compiled_equals_eager(loss, 'aot_eager', weights)


@pytest.mark.skipif(
    not (shutil.which('g++') and PYTHON_H.exists()),
    reason='torch.compile needs g++ and the headers of Python',
)
def test_compiled_by_inductor(loss):
    assert_compiled_equals_eager(loss, 'inductor', WEIGHTS)


@pytest.mark.parametrize('name', LOSSES)
def test_built_by_name_under_mmdet(name):
    registry = pytest.importorskip('mmdet.registry')
    module = registry.MODELS.build(dict(type=name, loss_weight=0.1))
    assert type(module) is LOSSES[name].module
    assert module.loss_weight == 0.1


def test_default_numbers(loss):
    """Leaving an argument out is the same as giving its default."""
    module = loss.module()
    numbers = {name: getattr(module, name) for name in loss.numbers}
    labels = (LABELS,) if loss.takes_labels else ()
    rows = loss.function(STUDENT, TEACHER, *labels, **numbers)
    expected = module.loss_weight * rows.mean()
    assert torch.equal(module(STUDENT, TEACHER, LABELS), expected)


@pytest.mark.parametrize('value', [-1.0, float('nan'), float('inf'), '1'])
def test_numbers_out_of_range(loss, value):
    for name in [*loss.numbers, 'loss_weight']:
        ends = '0.0001 to 10000' if name.startswith('tau') else '0 to 100000'
        message = f'Expected argument `{name}` to be a number from {ends} but'
        with pytest.raises(ValueError, match=message):
            loss.module(**{name: value})


def test_zero_is_a_weight_but_no_temperature(loss):
    for name in [*loss.numbers, 'loss_weight']:
        if name.startswith('tau'):
            with pytest.raises(ValueError, match='0.0001 to 10000 but got 0'):
                loss.module(**{name: 0})
        else:
            assert getattr(loss.module(**{name: 0}), name) == 0


@pytest.mark.parametrize('shape', [(5, 8), (4, 7), (5, 7, 1)])
def test_shapes_that_differ(loss, shape):
    message = r'`student` and `teacher` .* got \(5, 7\) and \(' + str(shape[0])
    with pytest.raises(ValueError, match=message):
        loss.per_sample(STUDENT, torch.zeros(shape), LABELS)


def test_weights_of_a_wrong_shape(loss):
    with pytest.raises(ValueError, match=r'`weights` .* \(5,\) but got \(4,'):
        loss.module()(STUDENT, TEACHER, LABELS, torch.ones(4))


@pytest.mark.parametrize(
    'loss',
    [loss for loss in LOSSES.values() if loss.takes_labels],
    ids=lambda loss: loss.module.__name__,
)
def test_labels_that_are_no_class_ids(loss):
    soft = TEACHER.softmax(1)
    with pytest.raises(TypeError, match='torch.int64 but got torch.float32'):
        loss.module()(STUDENT, TEACHER, soft)
    one_hot = torch.nn.functional.one_hot(LABELS, 7)
    with pytest.raises(ValueError, match=r'\(5,\) but got \(5, 7\)'):
        loss.module()(STUDENT, TEACHER, one_hot)
