"""RoIBoxTap and crossing: whose deltas, which rows, which gradients."""

import copy

import pytest
import torch
from torch import nn

from mmkd_plugin.taps import RoIBoxTap, RoIHeadTap
from tests.helpers import tiny
from tests.helpers.teachers import Shown

K = len(tiny.CLASSES)
CORNERS = [(0, 0), (8, 20), (30, 10), (20, 30), (5, 35), (36, 36)]


def detector(seed, agnostic=False, stds=None):
    """A detector whose predictions differ clearly between classes."""
    model = tiny.build_detector(seed=seed)
    head = model.roi_head.bbox_head
    generator = torch.Generator().manual_seed(seed)
    head.reg_class_agnostic = agnostic
    columns = 4 if agnostic else 4 * K
    head.fc_reg = nn.Linear(head.fc_reg.in_features, columns)
    with torch.no_grad():
        for layer in (head.fc_cls, head.fc_reg):
            layer.weight.normal_(0, 0.5, generator=generator)
        # Each class is the largest of some RoI.
        inputs = model.data_preprocessor(tiny.batch(0, 1), False)['inputs']
        rois = torch.tensor(
            [[i, x, y, x + 24, y + 24] for i in (0, 1) for x, y in CORNERS]
        ).float()
        logits, _ = head_of(model.eval(), model.extract_feat(inputs), rois)
        head.fc_cls.bias -= logits.mean(0)
    if stds is not None:
        head.bbox_coder.stds = stds
    return model


@pytest.fixture
def student():
    return detector(0).train()


@pytest.fixture
def teacher():
    return detector(1).eval()


def listen(student):
    """Keep the arguments of the box head's `loss`, and the maps."""
    head, seen = student.roi_head.bbox_head, {}
    original = head.loss

    def loss(cls_score, bbox_pred, rois, labels, weights, targets, *args, **k):
        seen.update(
            logits=cls_score,
            deltas=bbox_pred,
            rois=rois,
            labels=labels,
            targets=targets,
        )
        return original(
            cls_score, bbox_pred, rois, labels, weights, targets, *args, **k
        )

    head.loss = loss
    student.neck.register_forward_hook(
        lambda module, args, output: seen.update(maps=output)
    )
    return seen


def step(tap, student, teacher, count=2):
    tap.refuse('student', student)
    tap.refuse('teacher', teacher)
    seen = listen(student)
    tap.attach(student, teacher)
    data = student.data_preprocessor(tiny.batch(*range(count)), True)
    seen['losses'] = student(**data, mode='loss')
    return seen, Shown(teacher, data['inputs'])


def head_of(model, maps, rois):
    """Logits and deltas (N, D, 4) by the modules, one after the other."""
    head = model.roi_head
    cut = head.bbox_roi_extractor([m.float() for m in maps[:4]], rois)
    logits, deltas = head.bbox_head(cut)
    return logits, deltas.view(len(rois), -1, 4)


@pytest.mark.parametrize('crossed', [False, True])
@pytest.mark.parametrize('agnostic', [(), ('student',), ('teacher',)])
@pytest.mark.parametrize('rows', ['label', 'teacher', 'confidence'])
def test_deltas_row_by_row(rows, agnostic, crossed):
    student = detector(0, 'student' in agnostic).train()
    teacher = detector(1, 'teacher' in agnostic).eval()
    tap = RoIBoxTap(rows, crossed=crossed)
    seen, shown = step(tap, student, teacher)
    reading = tap.take(shown)
    with torch.no_grad():
        logits, deltas = head_of(teacher, shown.features, seen['rois'])
        own = seen['deltas'].view(len(deltas), -1, 4)
        if crossed:
            _, own = head_of(teacher, seen['maps'], seen['rois'])
    counted = 0
    for i, label in enumerate(seen['labels'].tolist()):
        probabilities = logits[i].softmax(0)
        if rows == 'label':
            kind, weight = label, float(label < K)
        elif rows == 'teacher':
            kind = probabilities.argmax().item()
            weight = float(kind < K)
        else:
            kind = probabilities[:K].argmax().item()
            weight = probabilities[kind].item()
        assert reading.weights[i].item() == pytest.approx(weight, rel=1e-5)
        if weight:
            counted += 1
            for found, wanted in (
                (reading.student, own),
                (reading.teacher, deltas),
            ):
                row = wanted[i, kind if wanted.shape[1] > 1 else 0]
                torch.testing.assert_close(found[i].detach(), row)
        if rows == 'label' and weight:
            torch.testing.assert_close(reading.labels[i], seen['targets'][i])
    assert counted > 4
    assert (reading.labels is None) == (rows != 'label')
    assert reading.student.requires_grad and not reading.teacher.requires_grad


def test_other_coding_is_converted(student):
    """As boxes in pixels, the same."""
    teacher = detector(1, stds=(0.05, 0.1, 0.4, 0.1)).eval()
    tap = RoIBoxTap('label')
    seen, shown = step(tap, student, teacher)
    reading = tap.take(shown)
    with torch.no_grad():
        _, deltas = head_of(teacher, shown.features, seen['rois'])
    rows = (seen['labels'] < K).nonzero()[:, 0]
    assert len(rows)
    picked = deltas[rows, seen['labels'][rows]]
    boxes = seen['rois'][rows, 1:]
    decode = [
        model.roi_head.bbox_head.bbox_coder.decode(boxes, each)
        for model, each in (
            (teacher, picked),
            (student, reading.teacher[rows]),
        )
    ]
    torch.testing.assert_close(*decode)


@pytest.mark.parametrize('kind', [RoIBoxTap, RoIHeadTap])
def test_crossed_terms_train_neck_and_backbone_alone(student, teacher, kind):
    for parameter in teacher.parameters():
        parameter.requires_grad_(False)
    tap = kind(crossed=True)
    _, shown = step(tap, student, teacher)
    reading = tap.take(shown)
    reading.student.square().sum().backward()
    reached = {
        name.split('.')[0]
        for name, p in student.named_parameters()
        if p.grad is not None and p.grad.abs().sum() > 0
    }
    assert reached == {'backbone', 'neck'}


def test_crossed_logits(student, teacher):
    tap = RoIHeadTap(crossed=True)
    seen, shown = step(tap, student, teacher)
    reading = tap.take(shown)
    with torch.no_grad():
        own, _ = head_of(teacher, seen['maps'], seen['rois'])
        other, _ = head_of(teacher, shown.features, seen['rois'])
    torch.testing.assert_close(reading.student.detach(), own)
    torch.testing.assert_close(reading.teacher, other)
    assert torch.equal(reading.labels, seen['labels'])


def test_crossing_needs_maps_like_the_teachers(student, teacher):
    teacher.roi_head.bbox_roi_extractor.featmap_strides = [8, 16, 32, 64]
    tap = RoIBoxTap(crossed=True)
    with pytest.raises(TypeError, match=r'`featmap_strides` differ: .*\[8, '):
        tap.attach(student, teacher)


def test_no_foreground(student, teacher):
    """Then the loss of the boxes does not run."""
    tap = RoIBoxTap('label')
    data = tiny.batch(0)
    for sample in data['data_samples']:
        sample.gt_instances = sample.gt_instances[:0]
    tap.attach(student, teacher)
    data = student.data_preprocessor(data, True)
    student(**data, mode='loss')
    reading = tap.take(Shown(teacher, data['inputs']))
    assert len(reading.student) > 0
    assert not reading.weights.any() and not reading.labels.any()


@pytest.mark.parametrize('rows', ['label', 'teacher', 'confidence'])
def test_no_rois(student, teacher, rows):
    student.train_cfg.rpn_proposal.min_bbox_size = 1e6
    tap = RoIBoxTap(rows)
    data = tiny.batch(0)
    for sample in data['data_samples']:
        sample.gt_instances = sample.gt_instances[:0]
    tap.attach(student, teacher)
    data = student.data_preprocessor(data, True)
    student(**data, mode='loss')
    reading = tap.take(Shown(teacher, data['inputs']))
    assert reading.student.shape == (0, 4)
    assert reading.student.requires_grad


def test_decoded_boxes_have_no_target_deltas(student, teacher):
    head = student.roi_head.bbox_head
    head.reg_decoded_bbox = True
    head.loss_bbox = nn.Module()
    head.loss_bbox.forward = lambda pred, *args, **kwargs: pred.sum()
    tap = RoIBoxTap('label')
    _, shown = step(tap, student, teacher)
    assert tap.take(shown).labels is None


def test_other_coders_are_refused(student):
    head = copy.deepcopy(student)
    head.roi_head.bbox_head.bbox_coder = nn.Identity()
    with pytest.raises(TypeError, match='by Identity, but RoIBoxTap reads'):
        RoIBoxTap().refuse('student', head)


def test_placeholder_without_a_teacher(student, teacher):
    tap = RoIBoxTap()
    step(tap, student, teacher)
    reading = tap.take(None)
    assert reading.student.shape[1] == 4 and reading.student.requires_grad


@pytest.mark.parametrize(
    'arguments, message',
    [
        (dict(rows='all'), '`rows` to be one of label, teacher, confidence'),
        (dict(crossed=1), '`crossed` to be True or False'),
    ],
)
def test_arguments(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        RoIBoxTap(**arguments)
