"""PooledTap: which vectors and labels it reads, what it refuses."""

import pytest
import torch
from mmpretrain.structures import DataSample

from mmkd_plugin.taps import PooledTap
from mmkd_plugin.taps.maps.pooled_tap import image_indices, image_labels
from tests.helpers import tiny, tiny_cls
from tests.helpers.teachers import Shown


@pytest.fixture
def models():
    """A student in training, and a teacher of twice its width."""
    student = tiny_cls.build_classifier().train()
    return student, tiny_cls.build_classifier(1, width=8).eval()


def run(tap, student, teacher):
    for role, model in (('student', student), ('teacher', teacher)):
        assert tap.fits(model)
        tap.refuse(role, model)
    tap.attach(student, teacher)
    data = student.data_preprocessor(tiny_cls.batch(0, 1, 5), True)
    student(**data, mode='loss')
    return data['inputs']


def test_reads_what_the_heads_are_given(models):
    student, teacher = models
    given = []
    student.head.register_forward_pre_hook(
        lambda module, args: given.append(args[0][-1])
    )
    tap = PooledTap()
    images = run(tap, student, teacher)
    reading = tap.take(Shown(teacher, images))
    assert torch.equal(reading.student, given[0])
    assert reading.student.requires_grad
    assert reading.student.shape == (3, 8)
    with torch.no_grad():
        (expected,) = teacher.extract_feat(images)
    assert torch.equal(reading.teacher, expected)
    assert reading.teacher.shape == (3, 16)
    assert reading.labels.tolist() == [0, 1, 2]
    assert reading.weights.tolist() == [1, 1, 1]
    assert tap.take(Shown(teacher, images)) is None
    # The teacher's batch norms may be folded: nothing else of it is read.
    assert not getattr(tap, 'intact', False)


def test_no_teacher_runs(models):
    tap = PooledTap()
    run(tap, *models)
    reading = tap.take(None)
    assert reading.student.requires_grad
    assert not reading.teacher.requires_grad


def test_detach(models):
    tap = PooledTap()
    run(tap, *models)
    tap.detach()
    assert tap.take(None) is None
    assert not any(m._forward_hooks for m in models[0].modules())


def test_soft_labels():
    rows = torch.tensor([[0.2, 0.8], [1.0, 0.0]])
    samples = [DataSample().set_gt_score(row) for row in rows]
    assert torch.equal(image_labels(samples), rows)


def test_no_labels():
    assert image_labels(None) is None
    assert image_labels([DataSample(), DataSample()]) is None
    several = [DataSample().set_gt_label(torch.tensor([0, 1]))]
    assert image_labels(several) is None


def test_detector():
    message = r'student FasterRCNN to have a neck that pools, .* has a FPN'
    with pytest.raises(TypeError, match=message):
        PooledTap().refuse('student', tiny.build_detector())
    assert not PooledTap().fits(tiny.build_detector())


def test_indices_of_the_images(models, monkeypatch):
    student, teacher = models
    tap, plain = PooledTap(indexed=True), PooledTap()
    assert (tap.kind, plain.kind) == ('indexed_vectors', 'vectors')
    tiny_batch = tiny_cls.batch

    def with_indices(*indices):
        data = tiny_batch(*indices)
        for sample, index in zip(data['data_samples'], indices):
            sample.set_metainfo(dict(sample_idx=index))
        return data

    monkeypatch.setattr(tiny_cls, 'batch', with_indices)
    plain.attach(student, teacher)
    images = run(tap, student, teacher)
    labels, indices = tap.take(Shown(teacher, images)).labels
    assert indices.tolist() == [0, 1, 5] and indices.dtype == torch.int64
    assert labels.equal(plain.take(Shown(teacher, images)).labels)


@pytest.mark.parametrize(
    'samples',
    [None, [DataSample(metainfo=dict(sample_idx=3)), DataSample()]],
    ids=['no samples', 'one without'],
)
def test_no_index(samples):
    with pytest.raises(RuntimeError, match='Expected a `sample_idx` in the'):
        image_indices(samples, torch.device('cpu'))


def test_indexed_is_a_switch():
    with pytest.raises(TypeError, match='`indexed` to be True or False'):
        PooledTap(indexed=1)


def test_length_of_the_vectors(models):
    student, teacher = models
    assert PooledTap().channels(student.eval(), teacher, 32) == ([8], [16])
