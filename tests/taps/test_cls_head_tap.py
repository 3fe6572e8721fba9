"""ClsHeadTap on real classifiers."""

import copy

import pytest
import torch
from mmengine.registry import MODELS, TASK_UTILS, DefaultScope
from torch import nn

import mmkd_plugin  # noqa: F401, registers the tap
from tests.helpers import tiny, tiny_cls
from tests.helpers.teachers import Shown


@pytest.fixture
def tap():
    return TASK_UTILS.build(dict(type='ClsHeadTap'))


@pytest.fixture
def student():
    return tiny_cls.build_classifier().train()


def forward(model, *indices):
    data = model.data_preprocessor(tiny_cls.batch(*indices), True)
    losses = model(**data, mode='loss')
    return data['inputs'], losses


def build_head(**cfg):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(cfg)


def with_head(student, **cfg):
    student.head = build_head(**cfg)
    return student


def test_rows_belong_to_the_same_images(tap, student):
    teacher = tiny_cls.build_classifier(1, width=8).eval()
    seen = []
    student.head.fc.register_forward_hook(
        lambda m, args, out: seen.append(out)
    )
    tap.attach(student, student)
    inputs, _ = forward(student, 4, 0, 2)
    reading = tap.take(Shown(teacher, inputs))
    assert reading.student is seen[0]
    assert reading.labels.tolist() == [1, 0, 2]
    assert reading.weights.tolist() == [1, 1, 1]
    rows = reading.teacher
    with torch.no_grad():
        for row, image in zip(rows, inputs):
            features = teacher.backbone(image[None])[-1].mean((2, 3))
            wanted = teacher.head.fc(features)[0]
            torch.testing.assert_close(row, wanted, rtol=1e-4, atol=1e-5)


def test_record_is_given_once_and_only_in_training(tap, student):
    tap.attach(student, student)
    assert tap.take(None) is None
    forward(student, 0, 1)
    assert tap.take(None) is not None
    assert tap.take(None) is None
    forward(student.eval(), 0, 1)
    assert tap.take(None) is None
    forward(student.train(), 0, 1)
    tap.clear()
    assert tap.take(None) is None


def test_detach_gives_the_model_back(tap, student):
    tap.attach(student, student)
    forward(student, 0, 1)
    tap.detach()
    assert tap.take(None) is None
    assert not any(m._forward_pre_hooks for m in student.modules())
    forward(student, 0, 1)
    assert tap.take(None) is None


def test_copy_of_the_model_does_not_speak_to_the_tap_of_another(tap, student):
    tap.attach(student, student)
    trained = forward(student, 0, 1) and tap._loss_args
    twin = copy.deepcopy(student)
    assert tap._loss_args is trained
    assert 'ClsHeadTap' not in repr(twin.__dict__)


def test_mixed_labels_are_recorded_as_shares(tap):
    student = tiny_cls.build_classifier(
        batch_augments=dict(augments=dict(type='Mixup', alpha=0.8))
    ).train()
    tap.attach(student, student)
    forward(student, 0, 1, 2, 3)
    reading = tap.take(None)
    assert reading.labels.shape == (4, 3)
    torch.testing.assert_close(reading.labels.sum(1), torch.ones(4))


@pytest.mark.parametrize(
    'cfg, reason',
    [
        (
            dict(type='MultiLabelLinearClsHead', num_classes=3, in_channels=8),
            'MultiLabelLinearClsHead .* predicts several labels per image',
        ),
        (dict(type='MultiLabelClsHead'), 'several labels'),
        (
            dict(type='CSRAClsHead', num_classes=3, in_channels=8, num_heads=1,
                 lam=0.1),
            'several labels',
        ),
        (
            dict(type='DeiTClsHead', num_classes=3, in_channels=8),
            'DeiTClsHead .* classifies two tokens per image',
        ),
        (
            dict(type='ConformerHead', num_classes=3, in_channels=[8, 8]),
            'two tokens',
        ),
        (
            dict(type='EfficientFormerClsHead', num_classes=3, in_channels=8),
            'two tokens',
        ),
        (
            dict(type='LeViTClsHead', num_classes=3, in_channels=8),
            'two tokens',
        ),
        (
            dict(type='ArcFaceClsHead', num_classes=3, in_channels=8),
            'adds a margin',
        ),
        (
            dict(
                type='MultiTaskHead',
                in_channels=8,
                task_heads=dict(
                    a=dict(type='LinearClsHead', num_classes=3)
                ),
            ),
            'several tasks',
        ),
        (
            dict(
                type='ContrastiveHead',
                loss=dict(type='CrossEntropyLoss'),
            ),
            'no `head` that classifies images',
        ),
    ],
    ids=lambda value: value['type'] if isinstance(value, dict) else '',
)  # fmt: skip
@pytest.mark.parametrize('role', ['student', 'teacher'])
def test_refuses_other_heads(tap, student, role, cfg, reason):
    with pytest.raises(TypeError, match=reason) as caught:
        tap.refuse(role, with_head(student, **cfg))
    assert f'he {role} ImageClassifier' in str(caught.value)


def test_refuses_a_detector(tap):
    with pytest.raises(TypeError, match='FasterRCNN has no `head`'):
        tap.refuse('teacher', tiny.build_detector())


@pytest.mark.parametrize(
    'cfg',
    [
        dict(type='LinearClsHead', num_classes=5, in_channels=8),
        dict(type='VisionTransformerClsHead', num_classes=5, in_channels=8),
        dict(
            type='StackedLinearClsHead',
            num_classes=5,
            in_channels=8,
            mid_channels=[4],
        ),
        dict(
            type='EfficientFormerClsHead',
            num_classes=5,
            in_channels=8,
            distillation=False,
        ),
        # It does not keep the number of its classes.
        dict(type='VigClsHead', num_classes=5, in_channels=8, hidden_dim=4),
    ],
    ids=lambda cfg: cfg['type'],
)
def test_takes_every_head_of_one_softmax(tap, student, cfg):
    model = with_head(student, **cfg)
    for role in ('student', 'teacher'):
        tap.refuse(role, model)
    assert tap.num_classes(model) == 5


def test_rows_that_are_no_images_are_an_error(tap, student):
    """As of a head that classifies every pixel."""
    tap.attach(student, student)
    with pytest.raises(RuntimeError, match=r'logits of shape \(2, 3, 4\)'):
        student.head.loss_module(torch.ones(2, 3, 4), torch.ones(2).long())


@pytest.mark.parametrize(
    'loss',
    [
        dict(type='CrossEntropyLoss', use_sigmoid=True),
        dict(type='FocalLoss'),
        dict(type='AsymmetricLoss'),
        dict(type='LabelSmoothLoss', label_smooth_val=0.1, use_sigmoid=True),
        dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='multi_label'),
    ],
    ids=repr,
)
@pytest.mark.parametrize('role', ['student', 'teacher'])
def test_refuses_sigmoid(tap, student, role, loss):
    model = with_head(
        student, type='LinearClsHead', num_classes=3, in_channels=8, loss=loss
    )
    message = f'LinearClsHead of the {role} .* {loss["type"]} with sigmoid'
    with pytest.raises(TypeError, match=message):
        tap.refuse(role, model)


def test_refuses_binary_cross_entropy_of_torch(tap, student):
    student.head.loss_module = nn.BCEWithLogitsLoss()
    with pytest.raises(TypeError, match='BCEWithLogitsLoss with sigmoid'):
        tap.refuse('student', student)


@pytest.mark.parametrize(
    'loss',
    [
        dict(type='CrossEntropyLoss', use_soft=True),
        dict(type='CrossEntropyLoss', class_weight=[1.0, 2.0, 3.0]),
        dict(type='LabelSmoothLoss', label_smooth_val=0.1),
        dict(
            type='LabelSmoothLoss',
            label_smooth_val=0.1,
            mode='classy_vision',
        ),
        dict(type='SeesawLoss', num_classes=3),
        dict(type='AsymmetricLoss', use_sigmoid=False),
    ],
    ids=repr,
)
def test_takes_every_loss_of_one_softmax(tap, loss):
    """Compared with what the layer before the loss gives."""
    model = tiny_cls.build_classifier(
        head=dict(loss=loss, cal_acc=False),
        batch_augments=dict(augments=dict(type='Mixup', alpha=0.8))
        if loss.get('use_soft')
        else None,
    ).train()
    seen = []
    model.head.fc.register_forward_hook(lambda m, args, out: seen.append(out))
    tap.refuse('student', model)
    tap.attach(model, model)
    forward(model, 4, 0, 2)
    reading = tap.take(None)
    assert reading.student is seen[-1]
    labels = reading.labels
    if loss.get('use_soft'):
        assert labels.shape == (3, 3)
    else:
        assert labels.tolist() == [1, 0, 2]


def test_replaced_loss_and_head_are_followed(tap, student):
    """As by MMPretrain's SwitchRecipeHook."""
    tap.attach(student, student)
    forward(student, 0, 1)
    assert tap.take(None) is not None
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        student.head.loss_module = MODELS.build(
            dict(type='LabelSmoothLoss', label_smooth_val=0.1)
        )
    forward(student, 0, 1)
    assert tap.take(None) is not None
    student.head = tiny_cls.build_classifier(1).head.train()
    forward(student, 0, 1)
    assert tap.take(None) is not None
    student.head.loss_module = nn.BCEWithLogitsLoss()
    with pytest.raises(TypeError, match='with sigmoid'):
        forward(student, 0, 1)
    tap.detach()
    assert not any(
        m._forward_pre_hooks or m._forward_hooks for m in student.modules()
    )


def test_loss_that_is_never_called_is_no_silence(tap, student):
    tap.attach(student, student)
    student.head._get_loss = lambda logits, *_, **__: dict(loss=logits.sum())
    forward(student, 0, 1)
    with pytest.raises(RuntimeError, match='did not reach its `loss_module`'):
        tap.take(None)


@pytest.mark.parametrize('kind', ['BaseRetriever', 'BaseSelfSupervisor'])
def test_refuses_models_that_classify_nothing(tap, student, kind):
    student.__class__ = type(kind, (type(student),), {})
    with pytest.raises(TypeError, match='no `head` that classifies images'):
        tap.refuse('teacher', student)


def test_token_classifier_trains(tap):
    """A vision transformer gives one row of logits an image too."""
    tiny_cls.build_classifier()
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(
            dict(
                type='ImageClassifier',
                backbone=dict(
                    type='VisionTransformer',
                    arch=dict(
                        embed_dims=8,
                        num_layers=1,
                        num_heads=2,
                        feedforward_channels=8,
                    ),
                    img_size=16,
                    patch_size=8,
                ),
                head=dict(
                    type='VisionTransformerClsHead',
                    num_classes=3,
                    in_channels=8,
                ),
            )
        ).train()
    assert isinstance(model.head.layers.head, nn.Linear)
    tap.refuse('student', model)
    tap.attach(model, model)
    inputs, _ = forward(model, 0, 1)
    reading = tap.take(Shown(model.eval(), inputs))
    assert reading.student.shape == reading.teacher.shape == (2, 3)
