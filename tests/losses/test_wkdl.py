"""WKD-L: its formula, pinned values, distances, and Sinkhorn's limits."""

import itertools

import pytest
import torch

from mmkd_plugin import Distiller
from mmkd_plugin.losses import WKDLLoss, wkdl_loss
from mmkd_plugin.teachers import Teacher
from tests.helpers import tiny_cls
from tests.helpers.loss_cases import (
    CASES,
    LABELS,
    PINNED,
    STUDENT,
    TEACHER,
    draw,
)
from tests.helpers.loss_checks import Loss, LossChecks
from tests.helpers.loss_oracles import exactly, softmax

NUMBERS = dict(gamma=1.0, tau=2.0, reg=0.05, iterations=10, sharpness=1.0)


def wasserstein(p, q, costs, reg, iterations):
    """Cost of the flow, with a kernel of its own for the row."""
    kernel = [[(-c / reg).exp() for c in row] for row in costs]
    size = range(len(p))
    u = [1 for _ in size]
    for _ in range(int(iterations)):
        v = [q[j] / sum(kernel[i][j] * u[i] for i in size) for j in size]
        u = [p[i] / sum(kernel[i][j] * v[j] for j in size) for i in size]
    return sum(
        u[i] * kernel[i][j] * v[j] * costs[i][j]
        for i, j in itertools.product(size, size)
    )


@exactly
def formula(student, teacher, labels, gamma, tau, reg, iterations, sharpness):
    values = []
    for s, t, y in zip(student, teacher, labels, strict=True):
        target = -softmax(t, 1)[y] * softmax(s, 1)[y].ln()
        rest = [i for i in range(len(s)) if i != y]
        far = 1 - (-sharpness).exp()
        costs = [[far * (i != j) for j in rest] for i in rest]
        moved = 0
        if rest:
            p, q = (softmax([z[i] for i in rest], tau) for z in (s, t))
            moved = wasserstein(p, q, costs, reg, iterations)
        values.append(target + gamma * moved)
    return values


def oracle(*batch, distances, **numbers):
    return formula(*batch, **numbers)


def function(*batch, distances, **numbers):
    """The module's name of the distances is not for the function."""
    return wkdl_loss(*batch, **numbers)


class TestWKDL(LossChecks):
    loss = Loss(
        function,
        WKDLLoss,
        oracle,
        dict(gamma=1.5, tau=2.0, sharpness=0.5),
        takes_labels=True,
        settings=dict(distances='equal', reg=0.1, iterations=5),
    )

    @pytest.mark.parametrize(
        'name', [name for name in CASES if name != 'many classes']
    )
    def test_gradcheck(self, name):
        """The case that is left out takes half a minute."""
        student, teacher, labels = CASES[name]
        torch.autograd.gradcheck(
            lambda z: self.loss.per_sample(z, teacher.double(), labels),
            student.double().requires_grad_(),
        )


def test_pinned():
    value = wkdl_loss(*PINNED, **NUMBERS)
    expected = [0.982698375, 0.058978438, 0.431585773]
    torch.testing.assert_close(value, torch.tensor(expected))


def some_distances(size, seed=3):
    generator = torch.Generator().manual_seed(seed)
    distances = torch.rand(size, size, generator=generator).double()
    return (distances + distances.T).fill_diagonal_(0) / 2


def test_distances_of_the_classes_count():
    """The row and column of the label are left out, as if they were not."""
    student, teacher, labels = STUDENT.double(), TEACHER.double(), LABELS
    distances = some_distances(7)
    found = wkdl_loss(student, teacher, labels, distances=distances, **NUMBERS)
    for s, t, y, value in zip(student, teacher, labels, found, strict=True):
        rest = [i for i in range(7) if i != y]
        costs = 1 - (-distances[rest][:, rest]).exp()
        kernel = (-costs / 0.05).exp()
        p, q = ((z[rest] / 2).softmax(0) for z in (s, t))
        u = torch.ones(6).double()
        for _ in range(10):
            v = q / (kernel.T @ u)
            u = p / (kernel @ v)
        moved = (u[:, None] * kernel * v * costs).sum()
        target = -t.softmax(0)[y] * s.log_softmax(0)[y]
        torch.testing.assert_close(value, target + moved)


def test_many_iterations_and_little_entropy_give_the_distance():
    """Of two classes besides the label: |p - q| times their cost."""
    student, teacher, _ = draw(6, 3, seed=5)
    labels = torch.zeros(6, dtype=torch.int64)
    numbers = dict(NUMBERS, reg=0.02, iterations=500)
    far = wkdl_loss(student, teacher, labels, **numbers)
    target = wkdl_loss(student, teacher, labels, **dict(numbers, gamma=0.0))
    p, q = ((z[:, 1:] / 2).softmax(1) for z in (student, teacher))
    cost = 1 - torch.tensor(-1.0).exp()
    wanted = cost * (p - q).abs()[:, 0]
    torch.testing.assert_close(far - target, wanted, rtol=0, atol=1e-4)


def test_like_classes_are_near():
    student = torch.tensor([[0.0, 3.0, 0.0, 0.0]])
    teacher = torch.tensor([[0.0, 0.0, 3.0, 0.0]])
    distances = 1 - torch.eye(4)
    label = torch.tensor([0])
    far = wkdl_loss(student, teacher, label, distances=distances, **NUMBERS)
    distances[1, 2] = distances[2, 1] = 0.1
    near = wkdl_loss(student, teacher, label, distances=distances, **NUMBERS)
    assert near < far / 2


@pytest.mark.parametrize('classes', [1, 2])
def test_nothing_to_move(classes):
    student = torch.randn(3, classes, requires_grad=True)
    labels = torch.zeros(3, dtype=torch.int64)
    teacher = torch.randn(3, classes)
    value, target = (
        wkdl_loss(student, teacher, labels, **dict(NUMBERS, gamma=gamma))
        for gamma in (1.0, 0.0)
    )
    torch.testing.assert_close(value, target)
    value.sum().backward()
    assert student.grad.isfinite().all()


def test_distances_are_those_of_the_teachers_classifier(tmp_path):
    """In the order of the student's classes."""
    order = [2, 0, 1]
    names = [tiny_cls.CLASSES[i] for i in order]
    cfg = tiny_cls.save_teacher(tmp_path / 'teacher.pth', classes=names)
    loss = WKDLLoss(gamma=1.0, tau=2.0)
    distiller = Distiller(dict(loss_wkdl=loss))
    model = tiny_cls.build_classifier().train()
    teacher = Teacher(**cfg)
    distiller.attach(model, [teacher], tiny_cls.CLASSES)
    rows = teacher.model.head.fc.weight[torch.tensor(order).argsort()]
    wanted = 1 - torch.cosine_similarity(rows[:, None], rows[None], dim=2)
    torch.testing.assert_close(loss._distances, wanted, rtol=0, atol=1e-6)
    data = model.data_preprocessor(tiny_cls.batch(0, 1), True)
    assert model(**data, mode='loss')['loss_wkdl'] > 0


def test_without_the_teacher():
    with pytest.raises(ValueError, match='`read_teacher` was not called'):
        WKDLLoss(gamma=1.0, tau=2.0)(STUDENT, TEACHER, LABELS)


def test_distances_of_other_classes():
    with pytest.raises(ValueError, match=r'\(7, 7\), but got \(3, 3\)'):
        wkdl_loss(
            STUDENT, TEACHER, LABELS, distances=torch.ones(3, 3), **NUMBERS
        )


@pytest.mark.parametrize(
    'changes', [dict(reg=0.01), dict(iterations=0), dict(distances='cka')]
)
def test_settings_out_of_range(changes):
    with pytest.raises(ValueError, match=f'`{next(iter(changes))}` to be'):
        WKDLLoss(gamma=1.0, tau=2.0, **changes)
