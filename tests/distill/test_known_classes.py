"""A teacher that knows some of the student's classes."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.registry import TASK_UTILS

from mmkd_plugin.distill import Distiller
from mmkd_plugin.distill.known_classes import leave_out
from mmkd_plugin.losses import BoxL1Loss, DKDLoss, KDLoss, RLDLoss
from mmkd_plugin.taps import Reading
from mmkd_plugin.teachers.teacher import Teacher
from tests.helpers import dense, tiny, tiny_cls

# The student has cat, dog and owl: its columns 0 and 2 are known, and are
# columns 2 and 0 of the teacher.
KNOWN, OF_TEACHER = [0, 2], [2, 0]
NAMES = ('owl', 'bird', 'cat')
OPTIONS = dict(classes=NAMES, missing_classes='leave_out')
LOSSES = dict(
    loss_kd=dict(type='KDLoss', tau=2.0),
    loss_dkd=dict(type='DKDLoss', alpha=1.0, beta=2.0, tau=1.0),
    loss_rld=dict(
        type='RLDLoss', alpha=1.0, beta=2.0, tau_scd=1.0, tau_mcd=4.0
    ),
    loss_ckd=dict(type='CKDLoss', tau=1.0, loss_weight=1.0),
)


def lacking(*numbers, columns=4):
    """What a teacher that lacks some columns says of itself."""
    missing = torch.zeros(columns, dtype=torch.bool)
    missing[list(numbers)] = True
    return SimpleNamespace(missing=missing, known=(~missing).nonzero()[:, 0])


@pytest.fixture
def rows():
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 6, 4, generator=generator)
    # Two of the class that the teacher lacks, two of the last column, and one
    # that is ignored.
    labels = torch.tensor([0, 1, 2, 3, 1, 255])
    return Reading(student, teacher, labels, torch.tensor([1, 2, 3, 4, 5, 0]))


def test_softmax(rows):
    found = leave_out(rows, lacking(1), SimpleNamespace(kind='logits'))
    for side, whole in zip(found[:2], rows[:2]):
        assert torch.equal(side, whole[:, [0, 2, 3]])
    assert found.weights.tolist() == [1, 0, 3, 4, 0, 0]
    assert found.labels[[0, 2, 3]].tolist() == [0, 1, 2]
    # Those that do not count are in range too.
    assert found.labels.max() < 3


def test_sigmoid(rows):
    """The rows stay, as of none of the classes."""
    found = leave_out(rows, lacking(1), SimpleNamespace(kind='sigmoid'))
    assert torch.equal(found.student, rows.student[:, [0, 2, 3]])
    assert torch.equal(found.weights, rows.weights)
    assert found.labels.tolist() == [0, 3, 1, 2, 3, 3]


def test_soft_labels(rows):
    """As of Mixup: what is left of them, and the row weighs as much."""
    soft = torch.tensor([[0.5, 0.25, 0.25, 0], [0, 1.0, 0, 0], [1.0, 0, 0, 0]])
    rows = Reading(*(x[:3] for x in rows))._replace(
        labels=soft, weights=torch.ones(3)
    )
    found = leave_out(rows, lacking(1), SimpleNamespace(kind='logits'))
    wanted = torch.tensor([[2 / 3, 1 / 3, 0], [0, 0, 0], [1.0, 0, 0]])
    torch.testing.assert_close(found.labels, wanted)
    torch.testing.assert_close(found.weights, torch.tensor([0.75, 0, 1]))


@pytest.mark.parametrize('kind', ['boxes', 'features'])
def test_others_stay(rows, kind):
    assert leave_out(rows, lacking(1), SimpleNamespace(kind=kind)) is rows


# With models.


@pytest.fixture
def classifier(tmp_path):
    teacher = tiny_cls.save_teacher(tmp_path / 'teacher.pth')
    student = tiny_cls.build_classifier().train()
    data = student.data_preprocessor(tiny_cls.batch(0, 1, 2, 3, 4, 5), True)
    return student, Teacher(**teacher, **OPTIONS), data


def naive(name, student, teacher, labels):
    """A loss of the rows with a known label, over the known columns alone."""
    loss = dict(
        loss_kd=KDLoss(tau=2.0),
        loss_dkd=DKDLoss(alpha=1.0, beta=2.0, tau=1.0),
        loss_rld=RLDLoss(alpha=1.0, beta=2.0, tau_scd=1.0, tau_mcd=4.0),
    )[name]
    return loss(student, teacher, labels, torch.ones(len(labels)))


@pytest.mark.parametrize('name', ['loss_kd', 'loss_dkd'])
def test_classifier(classifier, name):
    student, teacher, data = classifier
    distiller = Distiller({name: LOSSES[name]})
    distiller.attach(student, [teacher], tiny.CLASSES)
    seen = []
    student.head.register_forward_hook(
        lambda module, args, output: seen.append(output)
    )
    found = student(**data, mode='loss')
    with torch.no_grad():
        other = teacher.model.head(teacher.model.extract_feat(data['inputs']))
    labels = torch.tensor([0, 1, 2] * 2)
    rows = labels != 1
    # Cat is 0 and owl is 1 among the two that are known.
    told = labels[rows].div(2, rounding_mode='floor')
    own, other = seen[0][rows][:, KNOWN], other[rows][:, OF_TEACHER]
    wanted = naive(name, own, other, told)
    # Rows of dog have the weight 0, and the others are not told of them.
    torch.testing.assert_close(found[name], wanted)
    (grad,) = torch.autograd.grad(found[name], seen[0])
    assert grad[rows][:, KNOWN].abs().sum() > 0
    assert not grad[~rows].any() and not grad[:, 1].any()
    right = 100 * (other.argmax(1) == told).float().mean()
    assert found['kd_teacher_acc'] == pytest.approx(right.item())


@pytest.fixture
def detector(tmp_path):
    teacher = tiny.save_teacher(tmp_path / 'teacher.pth', width=16)
    student = tiny.build_detector().train()
    return student, Teacher(**teacher, **OPTIONS)


def listen(student):
    """Keep the arguments of the box head's `loss`, and the maps."""
    head, seen = student.roi_head.bbox_head, {}
    original = head.loss
    names = ('logits', 'deltas', 'rois', 'labels')

    def loss(*args, **kwargs):
        seen.update(zip(names, args))
        return original(*args, **kwargs)

    head.loss = loss
    student.neck.register_forward_hook(
        lambda module, args, output: seen.update(maps=output)
    )
    return seen


def step(student, teacher, losses):
    """Terms, what the student was trained on, and the teacher's answer."""
    distiller = Distiller(losses)
    distiller.attach(student, [teacher], tiny.CLASSES)
    seen = listen(student)
    data = student.data_preprocessor(tiny.batch(0, 1), True)
    found = student(**data, mode='loss')
    with torch.no_grad():
        features = teacher.model.extract_feat(data['inputs'])
        answer = head_of(teacher, features, seen)
    return found, seen, answer


def head_of(teacher, maps, seen):
    head = teacher.model.roi_head
    cut = head.bbox_roi_extractor([m.float() for m in maps[:4]], seen['rois'])
    return head.bbox_head(cut)


@pytest.mark.parametrize('crossed', [False, True])
@pytest.mark.parametrize('name', ['loss_kd', 'loss_dkd', 'loss_rld'])
def test_detector(detector, name, crossed):
    """With the background, which both know."""
    student, teacher = detector
    tap = dict(type='RoIHeadTap', crossed=crossed)
    losses = {name: dict(LOSSES[name], tap=tap)}
    found, seen, (other, _) = step(student, teacher, losses)
    labels = seen['labels']
    rows = labels != 1
    assert 0 < (~rows).sum() < len(rows) / 2
    number = torch.tensor([0, -1, 1, 2])[labels[rows]]
    own = seen['logits'][:, [*KNOWN, 3]]
    if crossed:
        own = head_of(teacher, seen['maps'], seen)[0][:, [*OF_TEACHER, 3]]
    wanted = naive(name, own[rows], other[rows][:, [*OF_TEACHER, 3]], number)
    torch.testing.assert_close(found[name], wanted)
    assert found[name].requires_grad


def test_all_losses_of_logits(detector):
    """All are finite, and the student learns nothing of the other class."""
    student, teacher = detector
    found, seen, _ = step(student, teacher, LOSSES)
    assert all(found[name].isfinite() for name in LOSSES)
    term = sum(found[name] for name in LOSSES)
    (grad,) = torch.autograd.grad(term, seen['logits'])
    assert grad[:, KNOWN].abs().sum() > 0 and not grad[:, 1].any()
    assert not grad[seen['labels'] == 1].any()


@pytest.mark.parametrize('rows', ['label', 'teacher', 'confidence'])
def test_boxes(detector, rows):
    student, teacher = detector
    for model in (student, teacher.model):
        head = model.roi_head.bbox_head
        torch.manual_seed(0)
        head.fc_cls.weight.data.normal_(0, 0.5)
        head.reg_class_agnostic = False
        head.fc_reg = torch.nn.Linear(32, 12)
    teacher.model.requires_grad_(False)
    tap = dict(type='RoIBoxTap', rows=rows)
    losses = dict(loss_box=dict(type='BoxL1Loss', tap=tap))
    found, seen, (logits, deltas) = step(student, teacher, losses)
    of = dict(zip(KNOWN, OF_TEACHER))
    own, other, weights = [], [], []
    for i, label in enumerate(seen['labels'].tolist()):
        known = logits[i][[*OF_TEACHER, 3]].softmax(0)
        if rows == 'label':
            kind, weight = label, float(label in KNOWN)
        elif rows == 'teacher':
            place = known.argmax().item()
            kind, weight = [*KNOWN, 3][place], float(place < 2)
        else:
            place = known[:2].argmax().item()
            kind, weight = KNOWN[place], known[place].item()
        kind, weight = (kind, weight) if weight else (0, 0.0)
        own.append(seen['deltas'][i].view(3, 4)[kind])
        other.append(deltas[i].view(3, 4)[of[kind]])
        weights.append(weight)
    assert any(weights)
    wanted = BoxL1Loss()(
        torch.stack(own), torch.stack(other), None, torch.tensor(weights)
    )
    torch.testing.assert_close(found['loss_box'], wanted)


def test_bounded_boxes_of_unknown_classes(detector):
    """Their true deltas stay in the rows of all that are positive."""
    student, teacher = detector
    tap = dict(type='RoIBoxTap', rows='label')
    loss = BoxL1Loss(bounded=True)
    readings = []
    loss.register_forward_pre_hook(lambda module, args: readings.append(args))
    distiller = Distiller(dict(loss_box=loss), None)
    distiller.terms['loss_box'] = distiller.terms['loss_box']._replace(
        tap=Distiller(dict(loss_x=dict(type='BoxL1Loss', tap=tap))).taps[0]
    )
    distiller.attach(student, [teacher], tiny.CLASSES)
    seen, targets = listen(student), []
    student.roi_head.bbox_head.loss_bbox.register_forward_pre_hook(
        lambda module, args: targets.append(args[1])
    )
    data = student.data_preprocessor(tiny.batch(0, 1), True)
    assert student(**data, mode='loss')['loss_box'].isfinite()
    positive = seen['labels'] < 3
    assert torch.equal(readings[0][2][positive], targets[0])
    assert torch.equal(readings[0][3] > 0, positive & (seen['labels'] != 1))


def test_cascade(tmp_path):
    """Each stage."""
    teacher = tiny.save_teacher(tmp_path / 'teacher.pth', stages=2)
    student = tiny.build_detector(stages=2).train()
    distiller = Distiller(dict(loss_kd=LOSSES['loss_kd']))
    distiller.attach(student, [Teacher(**teacher, **OPTIONS)], tiny.CLASSES)
    shapes = []
    distiller.losses['loss_kd'].register_forward_pre_hook(
        lambda module, args: shapes.append([x.shape[1] for x in args[:2]])
    )
    data = student.data_preprocessor(tiny.batch(0, 1), True)
    assert student(**data, mode='loss')['loss_kd'] > 0
    assert shapes == [[3, 3]] * 2


def test_several_teachers(tmp_path):
    """The same of the averaged probabilities of what they know."""
    cfgs = [
        tiny_cls.save_teacher(tmp_path / f'{seed}.pth', seed=seed)
        for seed in (3, 4)
    ]
    names = [NAMES, ('cat', 'owl', 'fox')]
    teachers = [
        Teacher(**{**cfg, **OPTIONS, 'classes': classes})
        for cfg, classes in zip(cfgs, names)
    ]
    student = tiny_cls.build_classifier().train()
    distiller = Distiller(dict(loss_kd=LOSSES['loss_kd']))
    distiller.attach(student, teachers, tiny.CLASSES)
    readings = []
    distiller.losses['loss_kd'].register_forward_pre_hook(
        lambda module, args: readings.append(args)
    )
    data = student.data_preprocessor(tiny_cls.batch(0, 1, 2), True)
    student(**data, mode='loss')
    mean = 0
    for teacher, columns in zip(teachers, (OF_TEACHER, [0, 1])):
        model = teacher.model
        with torch.no_grad():
            logits = model.head(model.extract_feat(data['inputs']))
        mean = mean + logits[:, columns].softmax(1) / 2
    torch.testing.assert_close(readings[0][1].softmax(1), mean)


def test_teachers_that_lack_others(tmp_path):
    cfg = tiny_cls.save_teacher(tmp_path / 't.pth')
    teachers = [
        Teacher(**{**cfg, **OPTIONS, 'classes': names})
        for names in (NAMES, ('dog', 'owl', 'fox'))
    ]
    distiller = Distiller(dict(loss_kd=LOSSES['loss_kd']))
    student = tiny_cls.build_classifier()
    message = 'lacks dog and .* lacks cat: give each teacher its own hook'
    with pytest.raises(ValueError, match=message):
        distiller.attach(student, teachers, tiny.CLASSES)


def test_one_class_with_a_background_is_enough(tmp_path):
    names = ('owl', 'x', 'y')
    cfg = tiny.save_teacher(tmp_path / 't.pth')
    teacher = Teacher(**{**cfg, **OPTIONS, 'classes': names})
    found, *_ = step(
        tiny.build_detector().train(),
        teacher,
        dict(loss_kd=LOSSES['loss_kd']),
    )
    assert found['loss_kd'] > 0


@pytest.mark.parametrize(
    'names, least, known',
    [(('owl', 'x', 'y'), 2, 1), (('x', 'y', 'z'), 2, 0)],
)
def test_softmax_of_a_class_is_refused(tmp_path, names, least, known):
    cfg = tiny_cls.save_teacher(tmp_path / 't.pth')
    teacher = Teacher(**{**cfg, **OPTIONS, 'classes': names})
    distiller = Distiller(dict(loss_kd=LOSSES['loss_kd']))
    message = f'knows {known} of the 3 .* needs at least {least} to compare'
    with pytest.raises(ValueError, match=message):
        distiller.attach(tiny_cls.build_classifier(), [teacher], tiny.CLASSES)


def test_all_known_is_as_without_the_option(tmp_path):
    cfg = tiny_cls.save_teacher(tmp_path / 't.pth', classes=tiny.CLASSES)
    teacher = Teacher(**cfg, missing_classes='leave_out')
    distiller = Distiller(dict(loss_kd=LOSSES['loss_kd']))
    distiller.attach(tiny_cls.build_classifier(), [teacher], tiny.CLASSES)
    assert teacher.columns is None and teacher.missing is None


def test_log_and_evaluation(classifier):
    student, teacher, _ = classifier
    distiller = Distiller(dict(loss_kd=LOSSES['loss_kd']))
    distiller.attach(student, [teacher], tiny.CLASSES)
    assert '1 classes that it does not know left out: dog' in str(teacher)
    with pytest.raises(ValueError, match='does not know 1 of the classes of'):
        teacher.relabel([])


@pytest.mark.parametrize(
    'tap',
    [
        dict(type='DenseBoxTap', weights='gap'),
        dict(type='DenseBoxTap', weights='confidence'),
        dict(type='DenseBinTap', rows='positive'),
    ],
    ids=lambda tap: tap.get('weights', 'bins'),
)
def test_places_of_a_dense_head(tmp_path, tap):
    """Boxes of a class that the teacher lacks do not count."""
    teacher = dense.save_dense(tmp_path / 'teacher.pth', 'gfl', width=16)
    teacher = Teacher(**teacher, **OPTIONS)
    student = dense.build_dense('gfl').train()
    readings = []
    for kind in (dict(type='DenseHeadTap'), tap):
        tap = TASK_UTILS.build(kind)
        teacher.prepare(student)
        teacher.match(tiny.CLASSES, 3, 3, 0)
        tap.attach(student, teacher.model)
        data = dense.data_of(student, 0, 1)
        teacher.see(data['inputs'], data['data_samples'])
        student(**data, mode='loss')
        readings.append(tap.take(teacher))
        tap.detach()
    (own, other, labels, counts), (*_, weights) = readings
    lacks = labels == 1
    assert 0 < lacks.sum() < (labels < 3).sum()
    own, other = own[:, KNOWN].sigmoid(), other[:, KNOWN].sigmoid()
    if 'rows' in kind:
        assert len(weights) == ((labels < 3) & ~lacks & (counts > 0)).sum()
        return
    wanted = other if kind['weights'] == 'confidence' else (own - other).abs()
    wanted = wanted.amax(1) * (counts > 0) * ~lacks
    torch.testing.assert_close(weights, wanted)
