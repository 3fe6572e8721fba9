"""Box IoU: both modes, both normalisers, and boxes without area."""

import math

import pytest
import torch

from mmkd_plugin.losses import BoxIoULoss, box_iou_loss
from tests.helpers.shared_checks import SharedChecks

MODES = ('giou', 'log_iou')
each_mode = pytest.mark.parametrize('mode', MODES)


def draw(rows, seed=0):
    """Boxes of student and teacher that overlap or not, labels, weights."""
    generator = torch.Generator().manual_seed(seed)
    boxes = []
    for _ in range(2):
        corner, size = torch.rand(2, rows, 2, generator=generator)
        boxes.append(torch.cat([40 * corner, 40 * corner + 60 * size], dim=1))
    labels = torch.randint(2, (rows,), generator=generator)
    return *boxes, labels, torch.rand(rows, generator=generator)


class Box:
    module = BoxIoULoss
    numbers: dict = {}
    settings = dict(mode='log_iou', normalize='weights')

    def arguments(self):
        return self.settings

    def build(self, **changes):
        return BoxIoULoss(**{**self.settings, 'loss_weight': 1.0, **changes})


class TestBoxIoU(SharedChecks):
    loss = Box()


def oracle(student, teacher, mode):
    """On the numbers of one row."""

    def size(low, high):
        return max(high - low, 0)

    def area(box):
        return size(box[0], box[2]) * size(box[1], box[3])

    pairs = list(zip(student, teacher, strict=True))
    low, high = [max(p) for p in pairs[:2]], [min(p) for p in pairs[2:]]
    shared = area(low + high)
    union = area(student) + area(teacher) - shared
    if mode == 'log_iou':
        return -math.log(max(shared / union, 1e-6))
    low, high = [min(p) for p in pairs[:2]], [max(p) for p in pairs[2:]]
    around = area(low + high)
    return 1 - shared / union + (around - union) / around


@pytest.mark.parametrize('normalize', ['positives', 'weights'])
@each_mode
def test_value(mode, normalize):
    student, teacher, labels, weights = (
        x.double() if x.is_floating_point() else x for x in draw(40)
    )
    rows = [
        oracle(*boxes, mode)
        for boxes in zip(student.tolist(), teacher.tolist(), strict=True)
    ]
    # Some overlap, and some do not.
    assert min(rows) < (1 if mode == 'giou' else 13) < max(rows)
    expected = torch.tensor(rows, dtype=torch.float64)
    found = box_iou_loss(student, teacher, mode=mode)
    torch.testing.assert_close(found, expected)
    loss = BoxIoULoss(mode=mode, normalize=normalize, loss_weight=0.5)
    value = loss(student, teacher, labels, weights)
    divisor = labels.sum() if normalize == 'positives' else weights.sum()
    torch.testing.assert_close(value, 0.5 * (weights @ expected) / divisor)


@each_mode
def test_gradient(mode):
    student, teacher, *_ = draw(12)
    student = student.double().requires_grad_()
    teacher = teacher.double().requires_grad_()
    torch.autograd.gradcheck(
        lambda boxes: box_iou_loss(boxes, teacher, mode=mode), student
    )
    box_iou_loss(student, teacher, mode=mode).sum().backward()
    assert student.grad.ne(0).any() and teacher.grad is None


@each_mode
def test_equals_mmdet(mode):
    losses = pytest.importorskip('mmdet.models.losses')
    name = dict(giou='GIoULoss', log_iou='IoULoss')[mode]
    plain = getattr(losses, name)(reduction='none')
    results = []
    student, teacher, *_ = draw(30)
    for loss in (lambda *x: box_iou_loss(*x, mode=mode), plain):
        boxes = student.clone().requires_grad_()
        value = loss(boxes, teacher)
        (grad,) = torch.autograd.grad(value.sum(), boxes)
        results.append((value.detach(), grad))
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-6)


def test_pinned():
    student = torch.tensor([[0.0, 0, 2, 2], [0.0, 0, 1, 1]])
    teacher = torch.tensor([[1.0, 0, 3, 2], [2.0, 2, 3, 3]])
    found = box_iou_loss(student, teacher, mode='giou')
    torch.testing.assert_close(found, torch.tensor([2 / 3, 1 + 7 / 9]))
    found = box_iou_loss(student, teacher, mode='log_iou')
    expected = torch.tensor([math.log(3), -math.log(1e-6)])
    torch.testing.assert_close(found, expected)


@each_mode
def test_equal_boxes(mode):
    boxes, *_ = draw(30)
    assert box_iou_loss(boxes, boxes, mode=mode).eq(0).all()


NO_AREA = [
    [5.0, 5.0, 5.0, 5.0],
    [5.0, 5.0, 5.0, 9.0],
    [7.0, 5.0, 5.0, 9.0],
    [7.0, 9.0, 5.0, 5.0],
]


@pytest.mark.parametrize('other', [*NO_AREA, [4.0, 4.0, 6.0, 8.0]])
@pytest.mark.parametrize('box', NO_AREA)
@each_mode
def test_boxes_without_area(mode, box, other):
    """The loss and its gradient are finite, and small ones."""
    student = torch.tensor([box], requires_grad=True)
    value = box_iou_loss(student, torch.tensor([other]), mode=mode)
    assert 0.5 < value.item() < 14
    (grad,) = torch.autograd.grad(value, student)
    assert grad.abs().max() < 5


def test_boxes_far_from_the_corner_keep_their_digits():
    """Of small boxes in large images, in float32."""
    student, teacher, *_ = draw(20)
    corners = torch.tensor([2000.0, 1000.0, 2000.0, 1000.0])
    pairs = [(x / 8 + corners) for x in (student, teacher)]
    exact = [x.double() for x in pairs]
    for mode in MODES:
        torch.testing.assert_close(
            box_iou_loss(*pairs, mode=mode).double(),
            box_iou_loss(*exact, mode=mode),
            rtol=1e-4,
            atol=1e-5,
        )


@pytest.mark.parametrize('normalize', ['positives', 'weights'])
@each_mode
def test_a_row_of_weight_0_takes_no_part(mode, normalize):
    student, teacher, labels, weights = draw(6)
    loss = BoxIoULoss(mode=mode, normalize=normalize, loss_weight=1.0)
    weights[2] = 0
    expected = loss(student, teacher, labels, weights)
    student[2], teacher[2] = torch.inf, torch.nan
    student.requires_grad_()
    value = loss(student, teacher, labels, weights)
    (grad,) = torch.autograd.grad(value, student)
    torch.testing.assert_close(value.detach(), expected)
    assert grad[2].eq(0).all() and grad.isfinite().all() and grad.any()


@pytest.mark.parametrize('rows', [0, 3])
@pytest.mark.parametrize('normalize', ['positives', 'weights'])
@each_mode
def test_no_row_counts(mode, normalize, rows):
    student, teacher, labels, _ = draw(rows)
    student.requires_grad_()
    loss = BoxIoULoss(mode=mode, normalize=normalize, loss_weight=1.0)
    value = loss(student, teacher, 0 * labels, torch.zeros(rows))
    value.backward()
    assert value == 0
    assert student.grad.shape == (rows, 4) and not student.grad.any()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    student, teacher, labels, weights = draw(5)
    student, teacher = (x.to(dtype) for x in (student, teacher))
    loss = BoxIoULoss(loss_weight=4.0)
    value = loss(student, teacher, labels, weights)
    assert value.dtype == torch.float32
    assert value == loss(student.float(), teacher.float(), labels, weights)


@pytest.mark.slow
@each_mode
def test_compiled_without_graph_break(mode):
    torch.compiler.reset()
    loss = BoxIoULoss(mode=mode, loss_weight=1.0)
    compiled = torch.compile(loss, fullgraph=True, backend='aot_eager')
    case = draw(8)
    torch.testing.assert_close(compiled(*case), loss(*case))


@pytest.mark.parametrize(
    'arguments, message',
    [
        (dict(mode='iou'), '`mode` to be one of giou, log_iou but'),
        (dict(normalize='rows'), '`normalize` to be one of positives, w'),
    ],
)
def test_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        BoxIoULoss(loss_weight=1.0, **arguments)


@pytest.mark.parametrize(
    'student, teacher', [((3, 5), (3, 5)), ((3, 4), (2, 4)), ((12,), (3, 4))]
)
def test_other_shapes(student, teacher):
    message = r'corners of boxes, both of .* but got \(.*DenseBoxTap'
    with pytest.raises(ValueError, match=message):
        box_iou_loss(torch.zeros(student), torch.zeros(teacher), mode='giou')
