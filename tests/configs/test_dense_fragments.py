"""The fragments for one-stage detectors, on small ones, in a step each."""

import pytest

from mmkd_plugin import Distiller
from mmkd_plugin.teachers import Teacher
from tests.helpers import tiny
from tests.helpers.dense import build_dense, data_of, save_dense
from tests.helpers.det_configs import CONFIGS, load

# Fragment -> heads that it is for.
FRAGMENTS = dict(
    bckd=['gfl', 'retina', 'fcos', 'atss', 'rtmdet'],
    boxiou=['gfl', 'retina', 'fcos', 'atss', 'rtmdet'],
    ld=['gfl'],
    binaryrld=['gfl', 'retina', 'fcos'],
    binarydkd=['gfl', 'retina', 'fcos'],
    crosskd_gfl=['gfl'],
    crosskd_retinanet=['retina', 'atss'],
    crosskd_fcos=['fcos'],
    cosine=['gfl', 'fcos'],
)
CASES = [(name, kind) for name, kinds in FRAGMENTS.items() for kind in kinds]
every_case = pytest.mark.parametrize('name, kind', CASES)


def distilled(name, kind, folder):
    """A student whose forward adds the terms of a fragment."""
    losses = load(CONFIGS / f'_base_/methods/{name}.py').distill.losses
    student = build_dense(kind, num_classes=len(tiny.CLASSES)).train()
    distiller = Distiller(losses)
    teacher = Teacher(**save_dense(folder / 'teacher.pth', kind))
    distiller.attach(student, [teacher], tiny.CLASSES)
    return student, distiller


@every_case
def test_trains_the_student(name, kind, tmp_path):
    student, distiller = distilled(name, kind, tmp_path)
    losses = student(**data_of(student, 0, 1), mode='loss')
    values = {term: losses[term] for term in distiller.terms}
    for term, value in values.items():
        assert value.isfinite() and value > 0, term
        student.zero_grad()
        value.backward(retain_graph=True)
        grad = student.backbone.conv1.weight.grad
        assert grad.isfinite().all() and grad.any(), term
    distiller.check({term: v.item() for term, v in values.items()}, 1)


@pytest.mark.parametrize(
    'name, kind', [case for case in CASES if case[0].startswith('crosskd')]
)
def test_crossed_terms_leave_the_last_layers_alone(name, kind, tmp_path):
    """Those of the student, which learn from the labels."""
    student, distiller = distilled(name, kind, tmp_path)
    losses = student(**data_of(student, 0, 1), mode='loss')
    sum(losses[term] for term in distiller.terms).backward()
    trained = {n for n, p in student.named_parameters() if p.grad is not None}
    head = {n.split('.')[1] for n in trained if n.startswith('bbox_head')}
    assert head == {'cls_convs', 'reg_convs'}
    assert any(n.startswith('neck') for n in trained)


@every_case
def test_image_without_objects(name, kind, tmp_path):
    """Nothing is positive; the terms stay finite and attached."""
    student, distiller = distilled(name, kind, tmp_path)
    data = data_of(student, 0, boxes=False)
    losses = student(**data, mode='loss')
    total = sum(losses[term] for term in distiller.terms)
    assert total.isfinite()
    total.backward()
    grad = student.backbone.conv1.weight.grad
    assert grad is not None and grad.isfinite().all()
    of_positives = name in ('ld', 'binaryrld', 'binarydkd')
    assert (total == 0) == of_positives
    assert grad.any() != of_positives
    # It is no fault in the first step either.
    distiller.check({term: losses[term].item() for term in distiller.terms}, 1)
