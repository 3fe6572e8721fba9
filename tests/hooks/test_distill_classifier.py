"""DistillHook on MMEngine's runner, with real image classifiers."""

import pytest
import torch
from mmengine.registry import HOOKS
from mmpretrain.models.utils import ClsDataPreprocessor
from torch.nn import functional as F

import mmkd_plugin  # noqa: F401, registers the hook
from mmkd_plugin.checkpoints.unpickling import load_from_local
from mmkd_plugin.teachers.inputs import TeacherInput
from tests.helpers import tiny_cls
from tests.helpers.classifier_runs import (
    LOSSES,
    connect,
    hook_cfg,
    losses_of,
    make_runner,
)

MIXES = [
    dict(type='Mixup', alpha=0.8),
    dict(type='CutMix', alpha=1.0),
    dict(type='ResizeMix', alpha=1.0),
]


@pytest.fixture
def teacher(tmp_path):
    return tiny_cls.save_teacher(tmp_path / 'teacher.pth', width=8)


def test_one_entry_makes_any_classifier_a_student(tmp_path, teacher):
    runner = make_runner(tmp_path, [hook_cfg(teacher)])
    runner.train()
    scalars = runner.message_hub.log_scalars
    last = {
        name.removeprefix('train/'): values.data[0][-1]
        for name, values in scalars.items()
    }
    assert last['loss_kd'] > 0
    assert 0 <= last['kd_agreement'] <= 100
    assert 0 <= last['kd_teacher_acc'] <= 100
    # MMPretrain's `loss`, the task's, would hide the sum under its name.
    assert last['loss'] == pytest.approx(
        last['loss_cls'] + last['loss_kd'] + last['loss_ckd'], rel=1e-5
    )
    saved = load_from_local(tmp_path / 'work' / 'epoch_1.pth')['state_dict']
    plain = tiny_cls.build_classifier(5)
    plain.load_state_dict(saved, strict=True)


def test_shares_are_those_of_the_images(tmp_path, teacher):
    model = tiny_cls.build_classifier().train()
    connect(HOOKS.build(hook_cfg(teacher)), model)
    losses = losses_of(model, 0, 1, 2, 3, 4)
    twin = tiny_cls.build_classifier(7, width=8).eval()
    data = twin.data_preprocessor(tiny_cls.batch(0, 1, 2, 3, 4))
    with torch.no_grad():
        rows = twin(data['inputs'], mode='tensor')
        # The same batch, so the same statistics of batch normalisation.
        own = tiny_cls.build_classifier().train()(
            data['inputs'], mode='tensor'
        )
    labels = torch.tensor([0, 1, 2, 0, 1])
    agreement = (rows.argmax(1) == own.argmax(1)).float().mean()
    accuracy = (rows.argmax(1) == labels).float().mean()
    assert losses['kd_agreement'] == pytest.approx(100 * agreement)
    assert losses['kd_teacher_acc'] == pytest.approx(100 * accuracy)
    wanted = F.kl_div(
        (own / 4).log_softmax(1),
        (rows / 4).log_softmax(1),
        reduction='batchmean',
        log_target=True,
    )
    torch.testing.assert_close(losses['loss_kd'].detach(), 16 * wanted)


@pytest.mark.parametrize('mix', MIXES, ids=lambda mix: mix['type'])
def test_teacher_sees_the_mixed_pixels(teacher, mix):
    model = tiny_cls.build_classifier(batch_augments=dict(augments=mix))
    hook = connect(HOOKS.build(hook_cfg(teacher)), model.train())
    seen = []
    hook.distiller.teachers[0].model.backbone.register_forward_pre_hook(
        lambda module, args: seen.append(args[0])
    )
    model.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs['inputs']),
        with_kwargs=True,
    )
    losses = losses_of(model, 0, 1, 2, 3)
    student_saw, teacher_saw = seen
    assert teacher_saw is student_saw
    plain = model.data_preprocessor(tiny_cls.batch(0, 1, 2, 3))['inputs']
    assert not torch.equal(student_saw, plain)
    assert losses['loss_kd'] > 0 and losses['loss_ckd'] > 0
    assert 0 <= losses['kd_teacher_acc'] <= 100


@pytest.mark.parametrize(
    'loss',
    [
        dict(type='RLDLoss', beta=8.0, tau_scd=1.0, tau_mcd=4.0),
        dict(type='DKDLoss', beta=0.25, tau=1.0),
    ],
    ids=['RLD', 'DKD'],
)
@pytest.mark.parametrize('mix', MIXES, ids=lambda mix: mix['type'])
def test_methods_that_need_class_ids_say_so(teacher, mix, loss):
    model = tiny_cls.build_classifier(batch_augments=dict(augments=mix))
    losses = dict(loss_it=loss)
    connect(HOOKS.build(hook_cfg(teacher, losses=losses)), model.train())
    with pytest.raises(TypeError, match='Mixup, CutMix.*KDLoss.*CKDLoss'):
        losses_of(model, 0, 1, 2, 3)


def test_label_smoothing_keeps_class_ids(tmp_path, teacher):
    smooth = dict(loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1))
    runner = make_runner(
        tmp_path,
        [
            hook_cfg(
                teacher,
                losses=dict(
                    loss_rld=dict(
                        type='RLDLoss', beta=8.0, tau_scd=1.0, tau_mcd=4.0
                    )
                ),
            )
        ],
        model=dict(head=smooth),
    )
    runner.train()
    assert runner.message_hub.get_scalar('train/loss_rld').current() > 0


def test_teacher_gets_its_own_images_and_class_order(tmp_path):
    """Another mean and std, BGR, four classes in another order."""
    own = dict(mean=[100.0, 110.0, 120.0], std=[50.0, 60.0, 70.0])
    teacher = tiny_cls.save_teacher(
        tmp_path / 'teacher.pth',
        classes=('owl', 'fox', 'cat', 'dog'),
        num_classes=4,
        to_rgb=True,
        **own,
    )
    model = tiny_cls.build_classifier().train()
    hook = connect(HOOKS.build(hook_cfg(teacher)), model)
    data = model.data_preprocessor(tiny_cls.batch(0, 1, 2), True)
    model(**data, mode='loss')
    rows = []
    loss = hook.distiller.losses['loss_kd']
    loss.register_forward_pre_hook(lambda module, args: rows.append(args[1]))
    model(**data, mode='loss')
    twin = tiny_cls.build_classifier(7, num_classes=4, to_rgb=True, **own)
    seen = twin.data_preprocessor(tiny_cls.batch(0, 1, 2))['inputs']
    with torch.no_grad():
        wanted = twin.eval()(seen, mode='tensor')[:, [2, 3, 0]]
    torch.testing.assert_close(rows[0], wanted, rtol=1e-3, atol=1e-3)


def test_teacher_is_evaluated_on_the_classes_of_the_student(tmp_path):
    classes = ('owl', 'fox', 'cat', 'dog')
    teacher = tiny_cls.save_teacher(
        tmp_path / 'teacher.pth', classes=classes, num_classes=4
    )
    hook = hook_cfg(teacher, min_metric={'accuracy/top1': 101})
    runner = make_runner(tmp_path, [hook])
    with pytest.raises(ValueError, match='reaches accuracy/top1') as caught:
        runner.train()
    twin = tiny_cls.build_classifier(7, num_classes=4).eval()
    data = twin.data_preprocessor(tiny_cls.batch(*range(8)))
    with torch.no_grad():
        rows = twin(data['inputs'], mode='tensor')[:, [2, 3, 0]]
    labels = torch.arange(8) % 3
    accuracy = 100 * (rows.argmax(1) == labels).float().mean()
    assert f'accuracy/top1 {accuracy:.4g} ' in str(caught.value)


def test_preprocessor_of_one_size_pads_nothing():
    student = ClsDataPreprocessor(**tiny_cls.NORM)
    teacher = ClsDataPreprocessor(mean=[0.0] * 3, std=[1.0] * 3)
    data = student(tiny_cls.batch(0, 1))
    got = TeacherInput(student, teacher)(data['inputs'], data['data_samples'])
    wanted = teacher(tiny_cls.batch(0, 1))['inputs']
    torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-4)


@pytest.mark.slow
def test_fast_formats_change_the_result_a_little_only(tmp_path, teacher):
    """Channels-last memory and bfloat16, teacher included."""
    found = []
    for name, hooks, wrapper in (
        ('plain', [], 'OptimWrapper'),
        ('fast', [dict(type='ChannelsLastHook')], 'BFloat16OptimWrapper'),
    ):
        runner = make_runner(
            tmp_path / name,
            [*hooks, hook_cfg(teacher)],
            optim_wrapper=dict(
                type=wrapper, optimizer=dict(type='SGD', lr=0.01)
            ),
        )
        hook = next(h for h in runner.hooks if hasattr(h, 'distiller'))
        seen = {}

        def look(module, args, out, seen=seen, hook=hook, runner=runner):
            seen['dtype'] = out.dtype
            teacher = hook.distiller.teachers[0].model
            seen['formats'] = [
                model.backbone.layer1[0].conv1.weight.is_contiguous(
                    memory_format=torch.channels_last
                )
                for model in (runner.model, teacher)
            ]

        runner.model.backbone.layer1[0].conv1.register_forward_hook(look)
        runner.train()
        found.append(runner.message_hub.get_scalar('train/loss').data[0])
        fast = name == 'fast'
        assert seen['formats'] == [fast, fast]
        # Validation runs in full precision.
        assert all(p.dtype == torch.float32 for p in runner.model.parameters())
        if fast:
            saved = load_from_local(tmp_path / name / 'work' / 'epoch_1.pth')
            tiny_cls.build_classifier().load_state_dict(saved['state_dict'])
    assert found[0] == pytest.approx(found[1], rel=0.05)
    assert list(found[0]) != list(found[1])


def switch(**recipe):
    schedule = [dict(action_epoch=2, **recipe)]
    return dict(type='SwitchRecipeHook', schedule=schedule)


@pytest.mark.parametrize(
    'recipe',
    [
        dict(
            loss=dict(
                type='LabelSmoothLoss', label_smooth_val=0.1, num_classes=3
            )
        ),
        dict(
            batch_augments=dict(augments=dict(type='Mixup', alpha=0.8)),
            loss=dict(type='CrossEntropyLoss', use_soft=True, loss_weight=0.5),
        ),
    ],
    ids=['smooth', 'mixup'],
)
def test_loss_that_is_switched_is_followed(tmp_path, teacher, recipe):
    hooks = [hook_cfg(teacher), switch(**recipe)]
    loop = dict(by_epoch=True, max_epochs=2)
    soft = dict(
        to_onehot=True,
        head=dict(loss=dict(type='CrossEntropyLoss', use_soft=True)),
    )
    runner = make_runner(tmp_path, hooks, soft, train_cfg=loop)
    runner.train()
    for name in LOSSES:
        log = runner.message_hub.get_scalar(f'train/{name}')
        assert len(log.data[0]) == 4
        assert (log.data[0] > 0).all()


def test_switch_to_sigmoid_is_refused_in_its_epoch(tmp_path, teacher):
    loss = dict(type='CrossEntropyLoss', use_sigmoid=True)
    hooks = [hook_cfg(teacher), switch(loss=loss)]
    loop = dict(by_epoch=True, max_epochs=2)
    runner = make_runner(tmp_path, hooks, train_cfg=loop)
    with pytest.raises(TypeError, match='CrossEntropyLoss with sigmoid'):
        runner.train()
    assert runner.iter == 2


def test_start_is_checked_without_our_tools(tmp_path, teacher):
    """As where MMPretrain's own command trains."""
    torch.save(dict(state_dict={'x': torch.ones(1)}), tmp_path / 'x.pth')
    runner = make_runner(
        tmp_path, [hook_cfg(teacher)], load_from=str(tmp_path / 'x.pth')
    )
    with pytest.raises(ValueError, match='fits 0 of the .* of the backbone'):
        runner.train()
    runner = make_runner(
        tmp_path,
        [hook_cfg(teacher)],
        train_cfg=dict(by_epoch=True, max_epochs=0),
    )
    with pytest.raises(ValueError, match='`max_epochs` of `train_cfg`'):
        runner.train()
