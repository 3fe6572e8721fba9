"""RPNHeadTap and RPNBoxTap: which anchors, whose numbers, what is refused."""

import copy

import pytest
import torch
from torch import nn

from mmkd_plugin import Distiller
from mmkd_plugin.taps import RPNBoxTap, RPNHeadTap
from mmkd_plugin.teachers import Teacher
from tests.helpers import tiny
from tests.helpers.teachers import Shown

A = 3
TAPS = (RPNHeadTap, RPNBoxTap)


def detector(seed):
    """A detector whose RPN says something else of each anchor."""
    model = tiny.build_detector(seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in (model.rpn_head.rpn_cls, model.rpn_head.rpn_reg):
            layer.weight.normal_(0, 0.5, generator=generator)
            layer.bias.normal_(0, 0.5, generator=generator)
    return model


@pytest.fixture
def student():
    return detector(0).train()


@pytest.fixture
def teacher():
    return detector(1).eval()


def listen(student):
    """Keep what the RPN's losses of a level are computed from."""
    head, seen = student.rpn_head, dict(levels=[])
    original = head.loss_by_feat_single

    def loss(
        scores, deltas, anchors, labels, weights, targets, used, **kwargs
    ):
        seen['levels'].append(
            (scores, deltas, anchors, labels, weights, targets, used)
        )
        seen.update(kwargs)
        return original(
            scores, deltas, anchors, labels, weights, targets, used, **kwargs
        )

    head.loss_by_feat_single = loss
    return seen


def step(tap, student, teacher, data):
    tap.refuse('student', student)
    tap.refuse('teacher', teacher)
    seen = listen(student)
    tap.attach(student, teacher)
    data = student.data_preprocessor(data, True)
    seen['losses'] = student(**data, mode='loss')
    return seen, Shown(teacher, data['inputs'])


def sampled(seen):
    """Level, image, y, x and anchor of each that was sampled, in order.

    A row of an image and level counts the places by y, then x, then anchor,
    as those of the anchor generator.
    """
    for level, (scores, *_, weights, _, _) in enumerate(seen['levels']):
        count, _, _, width = scores.shape
        for image in range(count):
            for row in weights[image].nonzero()[:, 0].tolist():
                place, anchor = divmod(row, A)
                yield level, image, *divmod(place, width), anchor, row


def without_boxes(*indices):
    data = tiny.batch(*indices)
    for sample in data['data_samples']:
        sample.gt_instances = sample.gt_instances[:0]
    return data


def test_objectness_anchor_by_anchor(student, teacher):
    tap = RPNHeadTap()
    seen, shown = step(tap, student, teacher, tiny.batch(0, 1, 2))
    reading = tap.take(shown)
    with torch.no_grad():
        scores, _ = teacher.rpn_head(shown.features)
    found = list(sampled(seen))
    assert len(found) == len(reading.student) == seen['avg_factor']
    assert {image for _, image, *_ in found} == {0, 1, 2}
    assert len({level for level, *_ in found}) >= 3
    assert len({anchor for *_, anchor, _ in found}) == A
    for i, (level, image, y, x, anchor, row) in enumerate(found):
        own, _, _, labels, weights, _, _ = seen['levels'][level]
        assert reading.student[i].item() == own[image, anchor, y, x].item()
        torch.testing.assert_close(
            reading.teacher[i, 0], scores[level][image, anchor, y, x]
        )
        assert reading.labels[i] == labels[image, row]
        assert reading.weights[i] == weights[image, row] == 1
    assert {0, 1} == set(reading.labels.tolist())
    assert reading.student.requires_grad and not reading.teacher.requires_grad


def test_deltas_anchor_by_anchor(student, teacher):
    tap = RPNBoxTap()
    seen, shown = step(tap, student, teacher, tiny.batch(0, 1, 2))
    reading = tap.take(shown)
    with torch.no_grad():
        _, deltas = teacher.rpn_head(shown.features)
    found = list(sampled(seen))
    assert len(found) == len(reading.student)
    positive = 0
    for i, (level, image, y, x, anchor, row) in enumerate(found):
        _, own, _, labels, _, targets, _ = seen['levels'][level]
        channels = slice(4 * anchor, 4 * anchor + 4)
        assert torch.equal(reading.student[i], own[image, channels, y, x])
        torch.testing.assert_close(
            reading.teacher[i], deltas[level][image, channels, y, x]
        )
        is_object = labels[image, row] == 0
        assert reading.weights[i] == is_object
        if is_object:
            positive += 1
            assert torch.equal(reading.labels[i], targets[image, row])
            assert reading.labels[i].any()
    assert positive > 4


def test_rows_are_those_of_the_anchors(student, teacher):
    """Decoded with their anchors, the true deltas give the true boxes."""
    tap = RPNBoxTap()
    data = tiny.batch(0, 1)
    seen, shown = step(tap, student, teacher, data)
    reading = tap.take(shown)
    anchors = torch.stack(
        [
            seen['levels'][level][2][image, row]
            for level, image, *_, row in sampled(seen)
        ]
    )
    images = torch.tensor([image for _, image, *_ in sampled(seen)])
    rows = reading.weights > 0
    boxes = student.rpn_head.bbox_coder.decode(
        anchors[rows], reading.labels[rows]
    )
    for image, box in zip(images[rows], boxes, strict=True):
        truth = data['data_samples'][image].gt_instances.bboxes
        truth = torch.as_tensor(getattr(truth, 'tensor', truth))
        assert (truth - box).abs().amax(1).min() < 1e-2


def test_ignored_anchors_take_no_part(student, teacher):
    """Those that overlap a box a little are neither object nor not."""
    tap = RPNHeadTap()
    # All anchors count, but for those between the thresholds.
    student.rpn_head.sampler.num = 10**6
    seen, shown = step(tap, student, teacher, tiny.batch(0, 1))
    reading = tap.take(shown)
    weights = torch.cat([level[4].flatten() for level in seen['levels']])
    assert 0 < (weights == 0).sum() < len(weights) / 2
    assert len(reading.student) == (weights > 0).sum()


def test_no_positives(student, teacher):
    tap, boxes = RPNHeadTap(), RPNBoxTap()
    boxes.attach(student, teacher)
    _, shown = step(tap, student, teacher, without_boxes(0, 1))
    reading = tap.take(shown)
    assert len(reading.student) == 64 and reading.labels.all()
    reading = boxes.take(shown)
    assert len(reading.student) == 64
    assert not reading.weights.any() and not reading.labels.any()


@pytest.mark.parametrize('kind', TAPS)
def test_nothing_sampled(student, teacher, kind):
    student.rpn_head.sampler.num = 0
    tap = kind()
    _, shown = step(tap, student, teacher, without_boxes(0))
    reading = tap.take(shown)
    assert reading.student.shape == (0, 1 if kind is RPNHeadTap else 4)
    assert reading.student.requires_grad
    assert len(reading.weights) == 0


@pytest.mark.parametrize('kind', TAPS)
def test_same_weights_give_equal_rows(student, kind):
    """With batch normalisation in eval mode, as the teacher has it."""
    teacher = copy.deepcopy(student).eval()
    student.apply(
        lambda m: m.eval() if isinstance(m, nn.BatchNorm2d) else None
    )
    tap = kind()
    _, shown = step(tap, student, teacher, tiny.batch(0, 1))
    reading = tap.take(shown)
    torch.testing.assert_close(reading.student.detach(), reading.teacher)


def test_other_coding_is_converted(student, teacher):
    """As boxes in pixels, the same."""
    coder = teacher.rpn_head.bbox_coder
    coder.stds, coder.means = (0.5, 0.5, 2.0, 1.0), (0.1, 0.0, 0.0, 0.2)
    tap = RPNBoxTap()
    seen, shown = step(tap, student, teacher, tiny.batch(0, 1))
    reading = tap.take(shown)
    with torch.no_grad():
        _, deltas = teacher.rpn_head(shown.features)
    found = list(sampled(seen))
    picked = torch.stack(
        [
            deltas[level][image, 4 * a : 4 * a + 4, y, x]
            for level, image, y, x, a, _ in found
        ]
    )
    anchors = torch.stack(
        [seen['levels'][n][2][image, row] for n, image, *_, row in found]
    )
    torch.testing.assert_close(
        coder.decode(anchors, picked),
        student.rpn_head.bbox_coder.decode(anchors, reading.teacher),
    )


def test_decoded_boxes_have_no_target_deltas(student, teacher):
    student.rpn_head.reg_decoded_bbox = True
    tap = RPNBoxTap()
    seen, shown = step(tap, student, teacher, tiny.batch(0))
    reading = tap.take(shown)
    assert reading.labels is None
    level, image, y, x, anchor, _ = next(sampled(seen))
    own = seen['levels'][level][1]
    channels = slice(4 * anchor, 4 * anchor + 4)
    assert torch.equal(reading.student[0], own[image, channels, y, x])


@pytest.mark.parametrize('kind', TAPS)
def test_placeholder_without_a_teacher(student, teacher, kind):
    tap = kind()
    step(tap, student, teacher, tiny.batch(0))
    reading = tap.take(None)
    assert reading.student.requires_grad and not reading.teacher.requires_grad
    assert reading.teacher.shape == reading.student.shape


@pytest.mark.parametrize('kind', TAPS)
def test_read_once(student, teacher, kind):
    tap = kind()
    _, shown = step(tap, student, teacher, tiny.batch(0))
    assert tap.take(shown) is not None
    assert tap.take(shown) is None
    tap.detach()
    assert tap.take(shown) is None
    assert not any(
        m._forward_hooks or m._forward_pre_hooks for m in student.modules()
    )


@pytest.mark.parametrize('kind', TAPS)
def test_validation_is_not_read(student, teacher, kind):
    tap = kind()
    tap.attach(student, teacher)
    data = student.data_preprocessor(tiny.batch(0), False)
    student.eval()(**data, mode='predict')
    student.train()
    assert tap.take(None) is None


@pytest.mark.parametrize(
    'name, value, message',
    [
        ('strides', [(8, 8)] * 5, r'`strides` .* student \[\(4, 4\)'),
        ('scales', torch.tensor([8.0]), r'student \[4.0\], teacher \[8.0\]'),
        ('ratios', torch.tensor([1.0]), r'`ratios` differ: .*\[1.0\]'),
        ('base_sizes', [4, 8, 16, 32, 63], '`base_sizes` differ'),
        ('center_offset', 0.5, '`center_offset` differ'),
    ],
)
@pytest.mark.parametrize('kind', TAPS)
def test_anchors_must_agree(student, teacher, kind, name, value, message):
    setattr(teacher.rpn_head.prior_generator, name, value)
    with pytest.raises(TypeError, match=message):
        kind().attach(student, teacher)


def test_kind_of_anchors_must_agree(student, teacher):
    generator = teacher.rpn_head.prior_generator
    kind = type('Other', (type(generator),), {})
    generator.__class__ = kind
    with pytest.raises(TypeError, match='student .AnchorG.*teacher .Other'):
        RPNHeadTap().attach(student, teacher)


@pytest.mark.parametrize('kind', TAPS)
def test_softmax_is_refused(student, kind):
    student.rpn_head.cls_out_channels = 2
    with pytest.raises(TypeError, match='has 2 logits per anchor'):
        kind().refuse('student', student)


@pytest.mark.parametrize('kind', TAPS)
def test_other_heads_are_refused(student, kind):
    tap = kind()
    assert tap.fits(student)
    model = copy.deepcopy(student)
    model.rpn_head = nn.Identity()
    with pytest.raises(
        TypeError, match=f'has a Identity, but {kind.__name__}'
    ):
        tap.refuse('student', model)
    del model.rpn_head
    assert not tap.fits(model)
    with pytest.raises(TypeError, match='The teacher FasterRCNN has no RPN'):
        tap.refuse('teacher', model)


def test_other_coders_are_refused(student):
    student.rpn_head.bbox_coder = nn.Identity()
    RPNHeadTap().refuse('student', student)
    with pytest.raises(TypeError, match='by Identity, but RPNBoxTap reads'):
        RPNBoxTap().refuse('student', student)


def test_maps_must_agree(student, teacher):
    tap = RPNHeadTap()
    _, shown = step(tap, student, teacher, tiny.batch(0, 1))
    shown.features = [x[:, :, :-1] for x in shown.features]
    with pytest.raises(RuntimeError, match=r'\(2, 3, 24, 32\).*\(2, 3, 23, 3'):
        tap.take(shown)


def of_one_image(head, scores, deltas, *rest, **kwargs):
    """Trains on the first image alone."""
    rows = (x[:1] for x in (scores, deltas, *rest[:-1]))
    return type(head).loss_by_feat_single(head, *rows, rest[-1])


def without_losses(head, scores, deltas, *rest, **kwargs):
    return scores.sum(), deltas.sum()


def without_box_loss(head, scores, deltas, anchors, labels, *rest, **kwargs):
    scores = scores.permute(0, 2, 3, 1).reshape(-1, 1)
    rows = labels.reshape(-1), rest[0].reshape(-1)
    return head.loss_cls(scores, *rows), deltas.sum()


@pytest.mark.parametrize(
    'single, message',
    [
        (of_one_image, r'has \[4608, .*`loss_cls` got \[2304, .* once per'),
        (without_losses, '`loss_cls` got none: use an RPNHead that calls'),
        (without_box_loss, '`loss_bbox` got none: .* which RPNHeadTap needs'),
    ],
)
def test_losses_must_get_every_anchor(student, teacher, single, message):
    tap = RPNHeadTap()
    head = student.rpn_head
    head.loss_by_feat_single = lambda *args, **kwargs: single(
        head, *args, kwargs['avg_factor']
    )
    tap.attach(student, teacher)
    data = student.data_preprocessor(tiny.batch(0, 1), True)
    student(**data, mode='loss')
    with pytest.raises(RuntimeError, match=message):
        tap.take(Shown(teacher, data['inputs']))


LOSSES = dict(
    loss_binarykd=dict(type='BinaryKDLoss', tau=1.0),
    loss_rpn_box=dict(type='BoxL1Loss', tap=dict(type='RPNBoxTap')),
)


@pytest.fixture
def loaded(tmp_path):
    return Teacher(**tiny.save_teacher(tmp_path / 'teacher.pth', width=16))


def test_distiller_trains_the_rpn(student, loaded):
    """One pass of the teacher's RPN; nothing is said of classes."""
    distiller = Distiller(LOSSES)
    distiller.attach(student, [loaded], ('other', 'classes'))
    calls = []
    loaded.model.rpn_head.register_forward_hook(lambda *_: calls.append(1))
    data = student.data_preprocessor(tiny.batch(0, 1), True)
    losses = student(**data, mode='loss')
    assert len(calls) == 1
    assert not any(name.startswith('kd_') for name in losses)
    values = {name: losses[name] for name in LOSSES}
    sum(values.values()).backward()
    reached = {
        '.'.join(name.split('.')[:2])
        for name, p in student.named_parameters()
        if p.grad is not None and p.grad.abs().sum() > 0
    }
    assert {'rpn_head.rpn_cls', 'rpn_head.rpn_reg', 'neck.fpn_convs'} < reached
    assert not any(name.startswith('roi_head') for name in reached)
    distiller.check({name: x.item() for name, x in values.items()}, 1)


def test_value_in_the_distiller(student, loaded):
    """By the mean over the sampled anchors, and the sum over 4 by it."""
    distiller = Distiller(LOSSES)
    distiller.attach(student, [loaded], tiny.CLASSES)
    seen = listen(student)
    data = student.data_preprocessor(tiny.batch(0, 1), True)
    losses = student(**data, mode='loss')
    with torch.no_grad():
        scores, deltas = loaded.model.rpn_head(
            loaded.model.extract_feat(loaded.to_input(data['inputs'], None))
        )
    objectness = boxes = 0.0
    for level, image, y, x, anchor, row in sampled(seen):
        own, own_deltas, _, labels, *_ = seen['levels'][level]
        p = own[image, anchor, y, x].double().sigmoid()
        q = scores[level][image, anchor, y, x].double().sigmoid()
        objectness += q * (q / p).log() + (1 - q) * ((1 - q) / (1 - p)).log()
        if labels[image, row] == 0:
            for k in range(4 * anchor, 4 * anchor + 4):
                boxes += abs(
                    own_deltas[image, k, y, x] - deltas[level][image, k, y, x]
                )
    for name, total in dict(
        loss_binarykd=objectness, loss_rpn_box=boxes
    ).items():
        expected = (total / seen['avg_factor']).float()
        torch.testing.assert_close(
            losses[name], expected, rtol=1e-3, atol=1e-6
        )


def test_two_teachers_are_refused(student, loaded):
    distiller = Distiller(dict(loss_binarykd=LOSSES['loss_binarykd']))
    with pytest.raises(TypeError, match='one teacher for RPNHeadTap'):
        distiller.attach(student, [loaded, loaded], tiny.CLASSES)


def test_losses_of_softmax_logits_are_refused():
    kd = dict(type='KDLoss', tau=1.0, tap=dict(type='RPNHeadTap'))
    with pytest.raises(TypeError, match='to read logits, .* reads sigmoid'):
        Distiller(dict(loss_kd=kd))
    own = dict(type='BinaryKDLoss', tau=1.0, tap=dict(type='RoIHeadTap'))
    with pytest.raises(TypeError, match='to read sigmoid, .* reads logits'):
        Distiller(dict(loss_own=own))
