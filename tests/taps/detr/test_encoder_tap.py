"""EncoderTap: the tokens of an encoder as maps."""

import pytest
import torch

from mmkd_plugin import Distiller
from mmkd_plugin.taps import EncoderTap
from mmkd_plugin.teachers import Teacher
from tests.helpers import tiny, tiny_detr
from tests.helpers.detr_runs import KINDS, encode, pair, step

each_kind = pytest.mark.parametrize('name', KINDS)
# Of images padded to 96 x 128, at the strides 8, 16 and 32.
SHAPES = [(12, 16), (6, 8), (3, 4)]


@each_kind
def test_token_by_token(name):
    student, teacher = pair(name)
    tap = EncoderTap()
    data, seen, shown = step(tap, student, teacher)
    reading = tap.take(shown)
    with torch.no_grad():
        given = encode(teacher, shown.features, data['data_samples'])
    dims = student.embed_dims
    for maps, memory in (
        (reading.student, seen['memory']),
        (reading.teacher, given['memory']),
    ):
        assert [tuple(x.shape) for x in maps] == [
            (2, dims, *shape) for shape in SHAPES
        ]
        place = 0
        for level, (height, width) in zip(maps, SHAPES):
            for y in range(height):
                for x in range(width):
                    assert torch.equal(level[:, :, y, x], memory[:, place])
                    place += 1
        assert place == memory.shape[1]
    assert all(x.requires_grad for x in reading.student)
    assert not any(x.requires_grad for x in reading.teacher)
    assert reading.weights is None
    for boxes, sample in zip(reading.labels, data['data_samples']):
        truth = sample.gt_instances.bboxes
        truth = torch.as_tensor(getattr(truth, 'tensor', truth))
        size = torch.tensor([128.0, 96.0, 128.0, 96.0])
        torch.testing.assert_close(boxes, truth / size)


def test_other_channels_of_the_teacher():
    """As a loss with adapters takes them."""
    student, teacher = pair('plain', dims=16)
    tap = EncoderTap()
    _, _, shown = step(tap, student, teacher)
    reading = tap.take(shown)
    assert [x.shape[1] for x in reading.student] == [32] * 3
    assert [x.shape[1] for x in reading.teacher] == [16] * 3


def test_placeholder_read_once_and_detached():
    student, teacher = pair('plain')
    tap = EncoderTap()
    step(tap, student, teacher)
    reading = tap.take(None)
    assert reading.student[0].requires_grad
    assert not reading.teacher[0].requires_grad
    assert tap.take(None) is None
    tap.detach()
    assert not any(
        m._forward_hooks or m._forward_pre_hooks for m in student.modules()
    )


def test_errors():
    student, teacher = pair('plain')
    tap = EncoderTap()
    assert tap.fits(student) and not tap.fits(student.neck)
    with pytest.raises(TypeError, match='which EncoderTap reads, but got Fas'):
        tap.refuse('student', tiny.build_detector())
    _, four = pair('plain', levels=4)
    with pytest.raises(TypeError, match='EncoderTap needs .*`num_feature_le'):
        tap.attach(student, four)
    _, _, shown = step(tap, student, teacher)
    shown.features = tuple(x[:, :, :-1] for x in shown.features)
    with pytest.raises(RuntimeError, match='but EncoderTap needs the same'):
        tap.take(shown)


@each_kind
def test_a_loss_of_maps_trains_the_encoder(name, tmp_path):
    kind = KINDS[name]
    student = tiny_detr.build_detr(0, *kind).train()
    teacher = Teacher(
        **tiny_detr.save_teacher(tmp_path / 't.pth', 7, *kind, width=16)
    )
    distiller = Distiller(
        dict(
            loss_pkd=dict(
                type='PKDLoss', loss_weight=1.0, tap=dict(type='EncoderTap')
            )
        )
    )
    distiller.attach(student, [teacher])
    data = student.data_preprocessor(tiny.batch(0, 1), True)
    losses = student(**data, mode='loss')
    losses['loss_pkd'].backward()
    reached = {
        name.split('.')[0]
        for name, p in student.named_parameters()
        if p.grad is not None and p.grad.abs().sum() > 0
    }
    assert reached == {'backbone', 'neck', 'encoder'}
    distiller.check(dict(loss_pkd=losses['loss_pkd'].item()), 1)
