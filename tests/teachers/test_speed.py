"""How a teacher computes."""

import copy

import pytest
import torch
from mmengine.registry import TASK_UTILS
from torch import nn

import mmkd_plugin  # noqa: F401, registers the taps
from mmkd_plugin.teachers import speed as teacher_speed
from mmkd_plugin.teachers.speed import TeacherSpeed, fold_batch_norms
from mmkd_plugin.teachers.teacher import Teacher
from tests.helpers import tiny, tiny_cls
from tests.helpers.teachers import answer, asked_by
from tests.helpers.waits import Recorder


def calibrate(model):
    """Give batch normalisation statistics that are not 0 and 1."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for value in (module.running_var, module.weight.data):
                value.uniform_(0.5, 2, generator=generator)
            for value in (module.running_mean, module.bias.data):
                value.normal_(0, 0.3, generator=generator)
    return model


@pytest.fixture(params=['detector', 'classifier'])
def trial(request, tmp_path):
    """A teacher's arguments, and what it is asked for, and of which images."""
    small, tap = {
        'detector': (tiny, 'RoIHeadTap'),
        'classifier': (tiny_cls, 'ClsHeadTap'),
    }[request.param]
    build = getattr(small, f'build_{request.param}')
    saved = small.save_teacher(tmp_path / 't.pth', width=16)
    state = calibrate(build(width=16)).state_dict()
    torch.save(dict(state_dict=state), saved['checkpoint'])
    tap = TASK_UTILS.build(dict(type=tap))
    student = build().train()
    tap.attach(student, student)
    data = student.data_preprocessor(small.batch(0, 1), True)
    student(**data, mode='loss')
    ask = asked_by(tap)
    tap.detach()
    return saved, student, (ask, data['inputs'], data['data_samples'])


def prepare(trial, **options):
    """A teacher with these options, and its logits."""
    saved, student, request = trial
    teacher = Teacher(**saved, **options)
    teacher.prepare(student)
    with Recorder() as seen:
        logits = answer(teacher, *request)
    return teacher, logits, seen.ops


def normalised(ops):
    return sum(ops[name] for name in ops if 'batch_norm' in name)


def test_nothing_is_changed(trial):
    teacher, _, ops = prepare(trial, fuse_bn=False)
    state = torch.load(trial[0]['checkpoint'])['state_dict']
    for key, value in teacher.model.state_dict().items():
        assert torch.equal(value, state[key])
    assert normalised(ops) >= 9
    assert 'folded' not in str(teacher)


def test_batch_norm_is_folded(trial):
    exact, wanted, ops = prepare(trial, fuse_bn=False)
    teacher, logits, fewer = prepare(trial)
    torch.testing.assert_close(logits, wanted, rtol=1e-4, atol=1e-5)
    assert normalised(fewer) == 0
    assert fewer['convolution'] == ops['convolution']
    assert 'batch normalisation folded' in str(teacher)
    assert not any(p.requires_grad for p in teacher.model.parameters())
    assert not any(m.training for m in teacher.model.modules())
    # Evaluated too it is the same model.
    small = tiny if hasattr(teacher.model, 'roi_head') else tiny_cls
    found = teacher.model.val_step(small.batch(0, 1))
    for one, other in zip(found, exact.model.val_step(small.batch(0, 1))):
        if small is tiny:
            one, other = one.pred_instances.scores, other.pred_instances.scores
        else:
            one, other = one.pred_score, other.pred_score
        assert len(one)
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


class OutOfOrder(nn.Module):
    """Normalises before it convolves, whatever the order of its layers."""

    def __init__(self, channels=3):
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 1)
        self.bn = nn.BatchNorm2d(3)

    def forward(self, x):
        return self.conv(self.bn(x))


class OneSize(nn.Sequential):
    """Takes no images but of its own size."""

    def forward(self, x):
        assert x.shape[-1] == 224, 'input size'
        return super().forward(x)


@pytest.mark.parametrize(
    'backbone',
    [
        OutOfOrder(),
        OutOfOrder(5),
        OneSize(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)),
        nn.Conv2d(3, 3, 1),
    ],
    ids=['order', 'channels', 'size', 'none'],
)
def test_what_cannot_be_folded_is_left(backbone):
    model = nn.Module()
    model.backbone = calibrate(backbone).eval()
    before = copy.deepcopy(model.state_dict())
    assert not fold_batch_norms(model)
    after = model.state_dict()
    assert model.backbone is backbone
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_neck_is_folded_where_the_backbone_cannot():
    model = nn.Module()
    model.backbone = calibrate(OutOfOrder()).eval()
    model.neck = calibrate(
        nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
    )
    model.eval()
    image = torch.randn(1, 3, 8, 8)
    wanted = model.neck(image)
    assert fold_batch_norms(model)
    assert isinstance(model.backbone.bn, nn.BatchNorm2d)
    assert isinstance(model.neck[1], nn.Identity)
    torch.testing.assert_close(model.neck(image), wanted)


@pytest.mark.parametrize('student_last', [False, True])
@pytest.mark.parametrize('option', [None, False, True])
def test_memory_format(trial, student_last, option):
    if student_last:
        trial[1].to(memory_format=torch.channels_last)
    _, wanted, _ = prepare(trial, channels_last=False)
    teacher, logits, _ = prepare(trial, channels_last=option)
    torch.testing.assert_close(logits, wanted, rtol=1e-4, atol=1e-5)
    expected = student_last if option is None else option
    assert teacher_speed._is_channels_last(teacher.model) == expected


@pytest.mark.slow
def test_compiled(trial, monkeypatch):
    graphs, compile = [], torch.compile

    def count(graph, inputs):
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(
        torch, 'compile', lambda module: compile(module, backend=count)
    )
    torch._dynamo.reset()
    _, wanted, _ = prepare(trial)
    teacher = Teacher(**trial[0], compile=True)
    teacher.prepare(trial[1])
    # As the hook calls it, which keeps the student's graph out of its own.
    logits = torch.compiler.disable(answer)(teacher, *trial[2])
    assert torch.equal(logits, wanted)
    assert len(graphs) == 2
    assert not [key for key in teacher.model.state_dict() if '_orig' in key]
    answer(teacher, *trial[2])
    assert len(graphs) == 2


@pytest.mark.parametrize(
    'options, error, message',
    [
        (dict(precision='int8'), ValueError, "but got 'int8'"),
        (dict(fuse_bn='yes'), TypeError, "`teacher.fuse_bn` .* got 'yes'"),
        (dict(fuse_bn=None), TypeError, '`teacher.fuse_bn` .* got None'),
        (dict(compile=1), TypeError, '`teacher.compile` .* got 1'),
        (dict(channels_last=0), TypeError, '`teacher.channels_last` .* got 0'),
    ],
)
def test_bad_settings(options, error, message):
    with pytest.raises(error, match=message):
        TeacherSpeed(**options)
