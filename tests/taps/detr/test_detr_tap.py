"""DETRHeadTap, DETRBoxTap and DETRCornerTap: which queries, whose numbers."""

import copy

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.registry import DefaultScope
from scipy.optimize import linear_sum_assignment
from torch import nn
from torch.nn import functional as F

from mmkd_plugin import Distiller
from mmkd_plugin.taps import DETRBoxTap, DETRCornerTap, DETRHeadTap
from mmkd_plugin.taps.boxes import clipped, corners, pairwise_giou
from mmkd_plugin.taps.detr.detr_match import costs
from mmkd_plugin.teachers import Teacher
from tests.helpers import tiny, tiny_detr
from tests.helpers.detr_runs import KINDS, decode, encode, pair, step

TAPS = (DETRHeadTap, DETRBoxTap, DETRCornerTap)
L, B, N, C = 2, 2, 10, 3

each_kind = pytest.mark.parametrize('name', KINDS)
each_tap = pytest.mark.parametrize('kind', TAPS)
either = pytest.mark.parametrize('crossed', [True, False])


def sizes_of(data):
    """Width, height, width, height of each image, (B, 4)."""
    return torch.tensor(
        [[*sample.img_shape[::-1]] * 2 for sample in data['data_samples']],
        dtype=torch.float32,
    )


def by_hand(shown, data, memory):
    """Logits and boxes on both memories of all layers, (L, B, N, .)."""
    with torch.no_grad():
        given = encode(shown.model, shown.features, data['data_samples'])
    layers = decode(shown.model, given, memory)
    return {
        name: [torch.stack(parts) for parts in zip(*(x[name] for x in layers))]
        for name in 'xt'
    }


def empty(*indices):
    data = tiny.batch(*indices)
    for sample in data['data_samples']:
        sample.gt_instances = sample.gt_instances[:0]
    return data


@each_kind
def test_crossed_logits_query_by_query(name):
    student, teacher = pair(name)
    tap = DETRHeadTap(crossed=True)
    data, seen, shown = step(tap, student, teacher)
    assert len({tuple(s.img_shape) for s in data['data_samples']}) == 2
    reading = tap.take(shown)
    found = by_hand(shown, data, seen['memory'])
    torch.testing.assert_close(reading.student, found['x'][0].flatten(0, 2))
    torch.testing.assert_close(reading.teacher, found['t'][0].flatten(0, 2))
    assert reading.student.shape == (L * B * N, C)
    assert torch.equal(reading.labels, reading.teacher.argmax(1))
    assert (reading.weights == 1).all() and len(reading.weights) == L * B * N
    assert reading.student.requires_grad and not reading.teacher.requires_grad


@each_kind
def test_what_the_teacher_says_is_what_it_predicts(name):
    """Without the training-time queries, in eval mode."""
    student, teacher = pair(name)
    tap = DETRHeadTap(crossed=True)
    data, _, shown = step(tap, student, teacher)
    reading = tap.take(shown)
    with torch.no_grad():
        logits, boxes = teacher(
            data['inputs'], data['data_samples'], mode='tensor'
        )
    torch.testing.assert_close(reading.teacher, logits.flatten(0, 2))
    assert not any(m._forward_pre_hooks for m in teacher.modules())


@each_kind
def test_crossed_boxes_query_by_query(name):
    student, teacher = pair(name)
    taps = [
        DETRBoxTap(crossed=True),
        DETRBoxTap(crossed=True, pixels=True),
        DETRCornerTap(crossed=True),
    ]
    for tap in taps[1:]:
        tap.attach(student, teacher)
    data, seen, shown = step(taps[0], student, teacher)
    fractions, pixels, edges = (tap.take(shown) for tap in taps)
    found = by_hand(shown, data, seen['memory'])
    confidence = found['t'][0].sigmoid().amax(-1)
    for layer in range(L):
        expected = confidence[layer] / confidence[layer].mean()
        rows = slice(layer * B * N, (layer + 1) * B * N)
        torch.testing.assert_close(fractions.weights[rows], expected.flatten())
    assert torch.equal(edges.weights, fractions.weights)
    size = sizes_of(data)[:, None]
    for mine, name in (('student', 'x'), ('teacher', 't')):
        boxes = found[name][1]
        centre, half = boxes[..., :2], boxes[..., 2:] / 2
        corner = torch.cat([centre - half, centre + half], -1) * size
        torch.testing.assert_close(
            getattr(fractions, mine), boxes.flatten(0, 2)
        )
        for reading in (pixels, edges):
            torch.testing.assert_close(
                getattr(reading, mine), corner.flatten(0, 2)
            )
    assert fractions.labels is None and pixels.labels is None
    assert edges.labels.dtype == torch.int64 and (edges.labels == 1).all()
    assert pixels.student.abs().max() > 2


@each_kind
def test_crossed_equals_the_teacher_for_its_own_memory(name):
    student, teacher = pair(name)
    student = copy.deepcopy(teacher).requires_grad_(True)
    # Without dropout and batch statistics, but with the queries of training.
    student.train()
    for module in student.modules():
        if isinstance(module, (nn.Dropout, nn.BatchNorm2d)):
            module.eval()
    tap = DETRHeadTap(crossed=True)
    _, _, shown = step(tap, student, teacher)
    reading = tap.take(shown)
    torch.testing.assert_close(reading.student, reading.teacher)


@each_kind
def test_matched_queries(name):
    """Of those of the student, without those that DINO adds."""
    student, teacher = pair(name)
    taps = [DETRHeadTap(), DETRBoxTap(), DETRCornerTap()]
    for tap in taps[1:]:
        tap.attach(student, teacher)
    data, seen, shown = step(taps[0], student, teacher)
    head, box, edge = (tap.take(shown) for tap in taps)
    own_logits, own_boxes = seen['output']
    added = own_logits.shape[2] - N
    assert (added > 0) == (name == 'dino')
    own_logits, own_boxes = own_logits[:, :, added:], own_boxes[:, :, added:]
    logits, boxes = by_hand(shown, data, seen['memory'])['t']
    row = 0
    for layer in range(L):
        matrices = costs(
            own_logits[layer], own_boxes[layer], logits[layer], boxes[layer]
        )
        for image in range(B):
            matrix = matrices[image].detach().numpy()
            for i, j in zip(*linear_sum_assignment(matrix)):
                for found, expected in (
                    (head.student, own_logits[layer, image, i]),
                    (head.teacher, logits[layer, image, j]),
                    (box.student, own_boxes[layer, image, i]),
                    (box.teacher, clipped(boxes[layer, image, j])),
                ):
                    torch.testing.assert_close(found[row], expected)
                row += 1
    assert row == len(head.student) == L * B * N
    size = sizes_of(data)[None, :, None].expand(L, -1, N, -1).flatten(0, 2)
    for own, pixels in zip(box[:2], edge[:2]):
        torch.testing.assert_close(pixels, corners(own) * size)
    for reading in (head, box, edge):
        assert (reading.weights == 1).all()
    corner = edge.teacher / size
    assert corner.min() >= -1e-6 and corner.max() <= 1 + 1e-6


def test_matched_with_more_queries_of_the_teacher():
    student, teacher = pair('plain', queries=14)
    tap = DETRHeadTap()
    _, _, shown = step(tap, student, teacher)
    assert len(tap.take(shown).student) == L * B * N


def test_crossed_with_more_queries_and_layers_of_the_teacher():
    student, teacher = pair('plain', queries=14, layers=3)
    tap = DETRHeadTap(crossed=True)
    _, _, shown = step(tap, student, teacher)
    assert len(tap.take(shown).student) == 3 * B * 14


@pytest.mark.parametrize('crossed, rows', [(True, 12), (False, 10)])
def test_dino_teaches_deformable_detr(crossed, rows):
    """What is read is the same; each has its own queries."""
    student = tiny_detr.build_detr(0, dims=256).train()
    teacher = tiny_detr.build_detr(1, 'DINO', queries=12).eval()
    tap = DETRHeadTap(crossed)
    _, _, shown = step(tap, student, teacher.requires_grad_(False))
    reading = tap.take(shown)
    assert len(reading.student) == len(reading.teacher) == L * B * rows
    assert reading.student.requires_grad


@each_kind
@either
def test_without_objects(name, crossed):
    student, teacher = pair(name)
    tap = DETRHeadTap(crossed)
    _, _, shown = step(tap, student, teacher, empty(0, 1))
    reading = tap.take(shown)
    assert reading.student.shape == (L * B * N, C)
    assert reading.student.isfinite().all()


def reached(student):
    """Parts of the student that have a gradient."""
    return {
        name.split('.')[0]
        for name, p in student.named_parameters()
        if p.grad is not None and p.grad.abs().sum() > 0
    }


def reached_by_each(name, crossed):
    """By the readings of the three taps, one by one."""
    student, teacher = pair(name)
    taps = [kind(crossed) for kind in TAPS]
    for tap in taps[1:]:
        tap.attach(student, teacher)
    _, _, shown = step(taps[0], student, teacher)
    for tap in taps:
        student.zero_grad()
        own, other, *_ = tap.take(shown)
        (own - other).square().sum().backward(retain_graph=True)
        yield reached(student)
    assert not any(p.grad is not None for p in teacher.parameters())


@each_kind
def test_crossed_gradient_stops_before_the_decoder(name):
    for found in reached_by_each(name, crossed=True):
        assert found == {'backbone', 'neck', 'encoder'}


@each_kind
def test_matched_gradient_reaches_the_decoder(name):
    parts = {'backbone', 'neck', 'encoder', 'decoder', 'bbox_head'}
    for found in reached_by_each(name, crossed=False):
        assert parts <= found


@each_tap
def test_placeholder_without_a_teacher(kind):
    student, teacher = pair('dino')
    tap = kind(crossed=True)
    step(tap, student, teacher)
    reading = tap.take(None)
    assert reading.student.requires_grad and not reading.teacher.requires_grad
    assert len(reading.student) == len(reading.teacher) == L * B * N


@either
def test_read_once(crossed):
    student, teacher = pair('dino')
    tap = DETRHeadTap(crossed)
    _, _, shown = step(tap, student, teacher)
    assert tap.take(shown) is not None
    assert tap.take(shown) is None
    tap.detach()
    tap.detach()
    assert tap.take(shown) is None
    assert not any(
        m._forward_hooks or m._forward_pre_hooks for m in student.modules()
    )


def test_validation_is_not_read():
    student, teacher = pair('plain')
    tap = DETRHeadTap()
    tap.attach(student, teacher)
    data = student.data_preprocessor(tiny.batch(0), False)
    student.eval()(**data, mode='predict')
    student.train()
    assert tap.take(None) is None


def test_a_copy_is_not_read():
    student, teacher = pair('plain')
    tap = DETRHeadTap()
    tap.attach(student, teacher)
    copied = copy.deepcopy(student)
    data = copied.data_preprocessor(tiny.batch(0), True)
    copied(**data, mode='loss')
    assert tap.take(None) is None


def test_replaced_head_is_read():
    student, teacher = pair('plain')
    tap = DETRHeadTap()
    tap.attach(student, teacher)
    student.bbox_head = copy.deepcopy(student.bbox_head)
    data = student.data_preprocessor(tiny.batch(0, 1), True)
    student(**data, mode='loss')
    assert len(tap.take(None).student) == L * B * N


def other_detector(kind):
    """Without its parts: only the class is looked at."""
    tiny.register_all_modules(init_default_scope=False)
    with DefaultScope.overwrite_default_scope('mmdet'):
        found = MODELS.get(kind)
    return found.__new__(found)


@pytest.mark.parametrize(
    'kind',
    ['DETR', 'ConditionalDETR', 'DABDETR', 'DDQDETR', 'GroundingDINO'],
)
def test_other_detectors_are_refused(kind):
    with pytest.raises(TypeError, match=f'DINO, .* reads, but got {kind}, '):
        DETRHeadTap().refuse('student', other_detector(kind))


def test_softmax_is_refused():
    loss_cls = dict(type='CrossEntropyLoss', loss_weight=1.0)
    model = tiny_detr.build_detr(loss_cls=loss_cls)
    with pytest.raises(TypeError, match='CrossEntropyLoss with a softmax'):
        DETRHeadTap().refuse('teacher', model)


@pytest.mark.parametrize(
    'crossed, changes, message',
    [
        (True, dict(dims=16), '`embed_dims`, .* has 32 and the teacher 16'),
        (False, dict(layers=3), '`decoder.num_layers`, .* 2 and the teach'),
        (True, dict(levels=4), '`num_feature_levels`, .* has 3 and the te'),
        (False, dict(levels=4), '`num_feature_levels`'),
        (True, dict(pad_size_divisor=1), '`data_preprocessor.pad_size_div'),
    ],
)
def test_teacher_that_does_not_fit(crossed, changes, message):
    student, teacher = pair('plain', **changes)
    with pytest.raises(TypeError, match=f'DETRBoxTap needs .* {message}'):
        DETRBoxTap(crossed).attach(student, teacher)


@either
def test_levels_of_other_sizes(crossed):
    student, teacher = pair('plain')
    tap = DETRHeadTap(crossed)
    _, _, shown = step(tap, student, teacher)
    shown.features = tuple(x[:, :, :-1] for x in shown.features)
    with pytest.raises(
        RuntimeError, match=r'\(12, 16\), .*\(11, 16\), .*DETR'
    ):
        tap.take(shown)


def test_decoder_that_is_called_in_another_way():
    student, teacher = pair('plain')
    tap = DETRHeadTap()
    tap.attach(student, teacher)
    tap._record._samples = []
    with pytest.raises(RuntimeError, match='`value` and `spatial_shapes`'):
        student.decoder(torch.zeros(1, 10, 32))


@each_tap
def test_arguments_are_checked(kind):
    with pytest.raises(TypeError, match='crossed'):
        kind(crossed=1)
    with pytest.raises(TypeError, match='pixels'):
        DETRBoxTap(pixels='no')


def losses_of(crossed):
    def tap(kind, **kwargs):
        return dict(type=kind, crossed=crossed, **kwargs)

    return dict(
        loss_binarykd=dict(
            type='BinaryKDLoss', tau=1.0, tap=tap('DETRHeadTap')
        ),
        loss_box=dict(
            type='BoxL1Loss',
            normalize='weights',
            tap=tap('DETRBoxTap', pixels=True),
        ),
    )


@pytest.fixture(params=KINDS)
def loaded(request, tmp_path):
    """A student, and a teacher of its kind from a file."""
    kind = KINDS[request.param]
    teacher = Teacher(
        **tiny_detr.save_teacher(tmp_path / 't.pth', 7, *kind, width=16)
    )
    return tiny_detr.build_detr(0, *kind).train(), teacher


@either
def test_step_of_a_distiller(loaded, crossed):
    """The task's losses as before; one pass of the teacher for both terms."""
    student, teacher = loaded
    plain = copy.deepcopy(student)
    distiller = Distiller(losses_of(crossed))
    distiller.attach(student, [teacher], tiny.CLASSES)
    passes = []
    teacher.model.encoder.register_forward_hook(lambda *_: passes.append(1))
    state = torch.get_rng_state()
    data = student.data_preprocessor(tiny.batch(0, 1), True)
    losses = student(**copy.deepcopy(data), mode='loss')
    torch.set_rng_state(state)
    alone = plain(**copy.deepcopy(data), mode='loss')
    assert len(passes) == 1
    assert set(losses) == {*alone, 'loss_binarykd', 'loss_box'}
    for name, value in alone.items():
        torch.testing.assert_close(losses[name], value)
    values = {name: losses[name] for name in distiller.terms}
    total, _ = student.parse_losses(losses)
    total.backward()
    distiller.check({name: x.item() for name, x in values.items()}, 1)
    # Strictly: nothing of the teacher is in it.
    plain.load_state_dict(student.state_dict())
    assert not any(p.grad is not None for p in teacher.model.parameters())


def test_values_are_those_of_the_released_crosskd(loaded):
    """Summed over the layers, divided by the queries and by sum q."""
    student, teacher = loaded
    distiller = Distiller(losses_of(True))
    distiller.attach(student, [teacher], tiny.CLASSES)
    seen = {}
    student.encoder.register_forward_hook(
        lambda _, args, output: seen.update(memory=output)
    )
    data = student.data_preprocessor(tiny.batch(0, 1), True)
    losses = student(**data, mode='loss')
    with torch.no_grad():
        given = encode(
            teacher.model,
            teacher.model.extract_feat(data['inputs']),
            data['data_samples'],
        )
        layers = decode(teacher.model, given, seen['memory'])
    classes = boxes = 0
    size = sizes_of(data)[:, None]
    for layer in layers:
        (x, own), (t, other) = layer['x'], layer['t']
        q = t.sigmoid()
        bce = F.binary_cross_entropy_with_logits(x, q, reduction='sum')
        entropy = F.binary_cross_entropy(q, q, reduction='sum')
        classes += (bce - entropy) / (B * N)
        q = q.amax(-1, keepdim=True).expand(-1, -1, 4)
        apart = (corners(own) * size - corners(other) * size).abs()
        boxes += (apart * q).sum() / q.sum()
    for name, expected in dict(loss_binarykd=classes, loss_box=boxes).items():
        torch.testing.assert_close(
            L * losses[name], expected, rtol=1e-4, atol=1e-5
        )


def test_values_are_those_of_the_released_detrdistill(loaded):
    """Summed over the layers, divided by the pairs."""
    student, teacher = loaded
    losses = losses_of(False)
    losses['loss_box'] = dict(
        type='BoxL1Loss', tap=dict(type='DETRBoxTap', crossed=False)
    )
    losses['loss_boxiou'] = dict(
        type='BoxIoULoss',
        mode='giou',
        loss_weight=1.0,
        tap=dict(type='DETRCornerTap', crossed=False),
    )
    distiller = Distiller(losses)
    distiller.attach(student, [teacher], tiny.CLASSES)
    seen = {}
    student.bbox_head.register_forward_hook(
        lambda _, args, output: seen.update(output=output)
    )
    data = student.data_preprocessor(tiny.batch(0, 1), True)
    losses = student(**data, mode='loss')
    own_logits, own_boxes = (x[:, :, -N:].detach() for x in seen['output'])
    with torch.no_grad():
        logits, boxes = teacher.model(
            data['inputs'], data['data_samples'], mode='tensor'
        )
    boxes = clipped(boxes)
    classes = distance = overlap = 0
    for layer in range(L):
        for image in range(B):
            x, own = own_logits[layer, image], own_boxes[layer, image]
            q, other = logits[layer, image].sigmoid(), boxes[layer, image]
            bce = torch.stack(
                [
                    F.binary_cross_entropy_with_logits(
                        x, row.expand_as(x), reduction='none'
                    ).sum(1)
                    for row in q
                ],
                1,
            )
            apart = torch.cdist(own, other, p=1)
            giou = pairwise_giou(
                corners(own)[None], corners(other)[None]
            ).squeeze(0)
            i, j = linear_sum_assignment(bce + 5 * apart - 2 * giou)
            entropy = F.binary_cross_entropy(q, q, reduction='none').sum(1)
            classes += (bce[i, j] - entropy[j]).sum() / (B * N)
            distance += apart[i, j].sum() / (B * N)
            overlap += (1 - giou[i, j]).sum() / (B * N)
    for name, expected in dict(
        loss_binarykd=classes, loss_box=distance, loss_boxiou=overlap
    ).items():
        torch.testing.assert_close(
            L * losses[name].detach(), expected, rtol=1e-3, atol=1e-4
        )


@either
@pytest.mark.parametrize('precision', ['same', 'fp32', 'bf16'])
def test_student_under_autocast(tmp_path, crossed, precision):
    """Whatever the precision of the teacher."""
    student, _ = pair('plain')
    teacher = Teacher(
        **tiny_detr.save_teacher(tmp_path / 't.pth', width=16),
        precision=precision,
    )
    distiller = Distiller(losses_of(crossed))
    distiller.attach(student, [teacher], tiny.CLASSES)
    data = student.data_preprocessor(tiny.batch(0, 1), True)
    whole = student(**copy.deepcopy(data), mode='loss')
    with torch.autocast('cpu', dtype=torch.bfloat16):
        losses = student(**data, mode='loss')
    total, _ = student.parse_losses(losses)
    total.backward()
    for name in distiller.terms:
        assert losses[name].dtype == torch.float32
        assert abs(losses[name] / whole[name] - 1) < 0.3


def test_classes_are_matched_by_name(tmp_path):
    student, _ = pair('plain')
    cfg = tiny_detr.save_teacher(tmp_path / 't.pth', num_classes=4)
    names = ('owl', 'cow', 'cat', 'dog')
    teacher = Teacher(**cfg, classes=names)
    distiller = Distiller(losses_of(True))
    distiller.attach(student, [teacher], tiny.CLASSES)
    tap = distiller.terms['loss_binarykd'].tap
    found = {}
    original = tap.take

    def take(shown):
        found['reading'] = original(shown)
        return found['reading']

    tap.take = take
    data = student.data_preprocessor(tiny.batch(0, 1), True)
    student(**data, mode='loss')
    with torch.no_grad():
        logits, _ = teacher.model(
            data['inputs'], data['data_samples'], mode='tensor'
        )
    expected = logits.flatten(0, 2)[:, [2, 3, 0]]
    torch.testing.assert_close(found['reading'].teacher, expected)


def test_two_teachers_are_refused(loaded):
    student, teacher = loaded
    distiller = Distiller(losses_of(True))
    with pytest.raises(TypeError, match='one teacher for DETRHeadTap'):
        distiller.attach(student, [teacher, teacher], tiny.CLASSES)
