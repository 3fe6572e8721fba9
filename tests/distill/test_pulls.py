"""distill/pulls.py: the gradients of terms and task."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mmkd_plugin import Distiller
from mmkd_plugin.distill import pulls
from mmkd_plugin.taps import RoIBoxTap, RoIHeadTap
from mmkd_plugin.teachers.teacher import Teacher
from tests.helpers import adopted, dense, tiny, tiny_cls


class Gap(nn.Module):
    """The squared difference of the finest maps, added up."""

    kind = 'features'
    default_tap = dict(type='FeatureTap')

    def forward(self, student, teacher, labels, weights=None):
        return (student[0] - teacher[0]).square().sum()


def measure(student, teacher, data, losses):
    """Reading and pull of each term, and what a step returned."""
    distiller = Distiller(losses)
    distiller.attach(student, [Teacher(**teacher)], None)
    with pulls.listen(student, distiller) as heard:
        output = student(**data, mode='loss')
        found = pulls.measure(student, output, heard, distiller)
    distiller.detach()
    given = {name: stages[0][2] for name, stages in heard.stages.items()}
    return given, found, output


@pytest.fixture
def detector(tmp_path):
    """Student, teacher and data."""
    student = tiny.build_detector().train()
    teacher = tiny.save_teacher(tmp_path / 'teacher.pth', width=16)
    data = student.data_preprocessor(tiny.batch(0, 1), True)
    return student, {**teacher, 'classes': tiny.CLASSES}, data


def box(weight, **tap):
    loss = dict(type='BoxL1Loss', loss_weight=weight)
    return dict(loss, tap=dict(type='RoIBoxTap', **tap))


def test_features(tmp_path):
    """Against the derivatives of the squares that term and task are."""
    adopted.save_teacher(tmp_path)
    student = adopted.SmallNet().train()
    teacher = dict(
        config=dict(model=dict(type='SmallNet', seed=1)),
        checkpoint=str(tmp_path / 't.pth'),
    )
    data = dict(inputs=torch.randn(2, 3, 16, 16))
    given, found, output = measure(student, teacher, data, {'loss_x': Gap()})
    (own, unused), (other, _) = given['loss_x'][:2]
    pull = found['loss_x']
    assert pull.what == 'the task losses'
    assert pull.value == pytest.approx(output['loss_x'].item())
    assert pull.own == pytest.approx(2 * (own - other).norm().item())
    # Of the finest map alone, which the term reaches.
    wanted = 2 * own.norm().item() / own.numel()
    assert pull.task == pytest.approx(wanted, rel=1e-5)
    assert pull.ratio == pytest.approx(pull.own / wanted, rel=1e-5)
    assert unused.norm() > 0


def test_logits(detector):
    losses = dict(loss_kd=dict(type='KDLoss', tau=1.0, loss_weight=3.0))
    given, found, _ = measure(*detector, losses)
    student, teacher, labels, weights = given['loss_kd']
    rows = len(student)
    assert (weights == 1).all()
    own = (student.softmax(1) - teacher.softmax(1)).norm(dim=1).sum()
    task = (student.softmax(1) - F.one_hot(labels, 4)).norm(dim=1).sum()
    pull = found['loss_kd']
    assert pull.what == 'the cross entropy'
    assert pull.own == pytest.approx(3 * own.item() / rows, rel=1e-4)
    assert pull.task == pytest.approx(task.item() / rows, rel=1e-4)


def test_boxes_of_the_foreground_pull_as_their_weight(detector):
    """Both are sums of distances over the same rows, divided by N."""
    losses = dict(loss_box=box(0.7, rows='label'))
    given, found, output = measure(*detector, losses)
    rows = given['loss_box'].weights.count_nonzero().item()
    pull = found['loss_box']
    assert pull.what == '`loss_bbox`'
    assert 0 < rows < len(given['loss_box'].weights) == 64
    assert pull.task == pytest.approx(2 * rows / 64, rel=1e-5)
    assert pull.ratio == pytest.approx(0.7, rel=1e-5)


def test_crossed_terms_pull_at_the_maps(detector):
    student, teacher, data = detector
    maps = []
    student.neck.register_forward_hook(
        lambda module, args, output: maps.extend(output)
    )
    kd = dict(
        type='KDLoss', tau=1.0, tap=dict(type='RoIHeadTap', crossed=True)
    )
    losses = dict(loss_kd=kd, loss_box=box(1.0, crossed=True))
    given, found, output = measure(student, teacher, data, losses)
    # RoIs are cut out of the four finest of the five maps.
    read = [part for part in maps[:4] if part.grad_fn is not None]
    task = sum(
        part.mean()
        for name, value in output.items()
        if name not in losses and 'loss' in name
        for part in (value if isinstance(value, list) else [value])
    )
    wanted = {}
    for name, value in dict(output, task=task).items():
        if name in ('task', *losses):
            grads = torch.autograd.grad(value, read, retain_graph=True)
            wanted[name] = torch.cat([x.flatten() for x in grads]).norm()
    for name in losses:
        pull = found[name]
        assert pull.what == 'the task losses'
        assert pull.own == pytest.approx(wanted[name].item(), rel=1e-4)
        assert pull.task == pytest.approx(wanted['task'].item(), rel=1e-4)
    # Not the student's own head.
    assert given['loss_kd'].student.shape == (64, 4)


def pulls_at_the_maps(student, teacher, data, losses):
    maps = []
    student.neck.register_forward_hook(
        lambda module, args, output: maps.extend(output)
    )
    _, found, output = measure(student, teacher, data, losses)
    read = [part for part in maps if part.grad_fn is not None]
    assert {*found} == {*losses}
    for name, pull in found.items():
        grads = torch.autograd.grad(
            output[name], read, retain_graph=True, allow_unused=True
        )
        flat = [x.flatten() for x in grads if x is not None]
        assert pull.what == 'the task losses'
        assert pull.own == pytest.approx(torch.cat(flat).norm().item(), 1e-4)
        assert pull.own > 0 and pull.task > 0


def test_rpn_pulls_at_the_maps(detector):
    losses = dict(
        loss_rpn=dict(type='BinaryKDLoss', tau=1.0),
        loss_deltas=dict(type='BoxL1Loss', tap=dict(type='RPNBoxTap')),
    )
    pulls_at_the_maps(*detector, losses)


def test_dense_head_pulls_at_the_maps(tmp_path):
    student = dense.build_dense('gfl').train()
    teacher = dense.save_dense(tmp_path / 'teacher.pth', 'gfl', width=16)
    boxes = dict(type='BoxIoULoss', mode='giou', loss_weight=4.0)
    losses = dict(loss_bckd=dict(type='BCKDLoss'), loss_boxiou=boxes)
    data = dense.data_of(student, 0, 1)
    pulls_at_the_maps(student, teacher, data, losses)


def test_what_no_task_loss_reaches(detector):
    student, teacher, data = detector
    losses = dict(loss_pkd=dict(type='PKDLoss', loss_weight=6.0))
    distiller = Distiller(losses)
    distiller.attach(student, [Teacher(**teacher)], None)
    with pulls.listen(student, distiller) as heard:
        output = student(**data, mode='loss')
        output = {'loss_pkd': output['loss_pkd'], 'acc': torch.ones(1)}
        found = pulls.measure(student, output, heard, distiller)['loss_pkd']
    assert found.own > 0
    assert (found.task, found.ratio) == (0, None)


def test_maps_and_vectors_of_a_classifier(tmp_path):
    """Against derivatives with respect to what the losses are given."""
    student = tiny_cls.build_classifier().train()
    for block in student.backbone.modules():
        if isinstance(block, nn.ReLU):
            block.inplace = True
    teacher = tiny_cls.save_teacher(tmp_path / 'teacher.pth', width=8)
    data = student.data_preprocessor(tiny_cls.batch(0, 1, 2, 3), True)
    before = dict(type='FeatureTap', modules=['preactivations'], resize='keep')
    losses = dict(
        loss_at=dict(type='ATLoss', loss_weight=100.0),
        loss_before=dict(type='ATLoss', loss_weight=100.0, tap=before),
        loss_rkd=dict(type='RKDLoss', distance_weight=1.0, angle_weight=2.0),
        loss_catkd=dict(
            type='CATKDLoss', loss_weight=1.0, size=2, normalize=False
        ),
    )
    given, found, output = measure(student, teacher, data, losses)
    for name in ('loss_at', 'loss_before', 'loss_rkd'):
        parts = given[name].student
        parts = [parts] if isinstance(parts, torch.Tensor) else [*parts]
        for value, pull in (
            (output[name], found[name].own),
            (output['loss_cls'], found[name].task),
        ):
            if value is output['loss_cls'] and name == 'loss_rkd':
                continue  # the vectors given are a view
            grads = torch.autograd.grad(value, parts, retain_graph=True)
            norm = torch.stack([grad.norm() for grad in grads]).norm()
            assert pull == pytest.approx(norm.item(), rel=1e-5)
            assert pull > 0
    for pull in found.values():
        assert pull.ratio > 0


def test_terms_read_their_own_taps():
    kinds = {
        RoIHeadTap(): (True, []),
        RoIHeadTap(crossed=True): (False, ['neck']),
        RoIBoxTap(): (False, ['roi_head.bbox_head']),
        RoIBoxTap(crossed=True): (False, ['neck']),
    }
    student = tiny.build_detector()
    for tap, (logits, shared) in kinds.items():
        assert pulls.reads_logits(tap) == logits
        assert pulls.shared_modules(tap, student) == shared


def test_cascade(tmp_path):
    """Of each stage with its factor: half, and a quarter, of the first."""
    student = tiny.build_detector(stages=3).train()
    teacher = tiny.save_teacher(tmp_path / 'teacher.pth', width=16, stages=3)
    data = student.data_preprocessor(tiny.batch(0, 1), True)
    losses = dict(
        loss_kd=dict(type='KDLoss', tau=1.0), loss_box=box(0.7, rows='label')
    )
    distiller = Distiller(losses)
    distiller.attach(student, [Teacher(**teacher)], tiny.CLASSES)
    with pulls.listen(student, distiller) as heard:
        output = student(**data, mode='loss')
        found = pulls.measure(student, output, heard, distiller)
    own = task = rows = 0
    stages = zip((1, 0.5, 0.25), *map(heard.stages.get, losses))
    for factor, (_, _, logits), (_, _, boxes) in stages:
        student, teacher, labels, weights = logits
        assert (weights == 1).all()
        p = student.softmax(1)
        each = factor / len(student)
        own += each * (p - teacher.softmax(1)).norm(dim=1).sum().item()
        task += each * (p - F.one_hot(labels, 4)).norm(dim=1).sum().item()
        rows += each * boxes.weights.count_nonzero().item()
    pull = found['loss_kd']
    assert pull.own == pytest.approx(own, rel=1e-4)
    assert pull.task == pytest.approx(task, rel=1e-4)
    pull = found['loss_box']
    assert pull.what == '`loss_bbox`'
    # Each is the sign of four gaps, of length 2, and a mean over the rows.
    assert pull.task == pytest.approx(2 * rows, rel=1e-5)
    assert pull.ratio == pytest.approx(0.7, rel=1e-5)
