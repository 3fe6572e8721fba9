"""DistillHook on MMEngine's runner, with real detectors."""

import copy
import re
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS, DefaultScope

import mmkd_plugin
from mmkd_plugin.checkpoints.unpickling import load_from_local
from tests.helpers import tiny
from tests.helpers.detector_runs import (
    connect,
    hook_cfg,
    losses_of,
    make_runner,
)

CONFIGS = Path(__file__).parents[2] / 'configs'


@pytest.fixture
def teacher(tmp_path):
    return tiny.save_teacher(tmp_path / 'teacher.pth', width=16)


@pytest.fixture
def hook(teacher):
    return HOOKS.build(hook_cfg(teacher))


@pytest.mark.slow
@pytest.mark.parametrize('mask', [False, True])
def test_runner_trains_with_terms_in_log(tmp_path, mask):
    teacher = tiny.save_teacher(tmp_path / 't.pth', width=16, mask=mask)
    runner = make_runner(tmp_path, [hook_cfg(teacher)], mask=mask)
    runner.train()
    scalars = runner.message_hub.log_scalars
    for name in ('loss_kd', 'loss_ckd', 'kd_agreement', 'kd_teacher_acc'):
        values, _ = scalars[f'train/{name}'].data
        assert len(values) == 4
        assert (values >= 0).all()
    assert max(scalars['train/loss_kd'].data[0]) > 0
    assert ('train/loss_mask' in scalars) == mask
    # `loss` is the sum of what is back-propagated, the terms included.
    total = sum(
        values.data[0][-1]
        for key, values in scalars.items()
        if key.startswith('train/loss_')
    )
    assert scalars['train/loss'].data[0][-1] == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize(
    'student, teacher, read',
    [
        (0, 2, 'the first of its 2 box heads'),
        (3, 3, "its 3 box heads on the student's 3 stages"),
        (3, 0, "its box head on the first of the student's 3 stages"),
        (
            3,
            2,
            "the first of its 2 box heads on the first of the student's 3 "
            'stages',
        ),
    ],
)
def test_log_says_what_is_read(tmp_path, student, teacher, read, caplog):
    """Of a cascade, which box heads; a term each, with its tap."""
    teacher = tiny.save_teacher(tmp_path / 'teacher.pth', stages=teacher)
    hook = HOOKS.build(
        hook_cfg(
            teacher,
            losses=dict(
                loss_kd=dict(type='KDLoss', tau=1.0),
                loss_pkd=dict(type='PKDLoss', loss_weight=6.0),
            ),
        )
    )
    with caplog.at_level('INFO'):
        connect(hook, tiny.build_detector(stages=student))
    (told,) = [x for x in caplog.messages if x.startswith('DistillHook: ')]
    title, *lines = told.splitlines()
    assert re.match(
        r'DistillHook: teacher \w+ \(ResNet depth=18, base_channels=8, '
        r'0\.\d{3} M parameters, ',
        title,
    )
    assert lines == [
        f'    loss_kd   KDLoss(tau=1.0, loss_weight=1.0, '
        f'standardize=False) of {read} by '
        'RoIHeadTap(background_weight=1.0, crossed=False)',
        '    loss_pkd  PKDLoss(loss_weight=6.0, student_channels=None, '
        'teacher_channels=None, adapters=None) '
        "of its neck by FeatureTap(modules=('neck',), "
        "teacher_modules=('neck',), levels=('p2', 'p3', 'p4', 'p5'), "
        "teacher_levels=('p2', 'p3', 'p4', 'p5'), resize=False)",
        '    schedule  from epoch 1 to the end',
    ]


def test_log_says_what_weighs_and_when(tmp_path, caplog):
    teacher = tiny.save_teacher(tmp_path / 'teacher.pth')
    loss = dict(type='KDLoss', tau=1.0, loss_weight='auto', pull=0.5)
    hook = HOOKS.build(
        hook_cfg(teacher, losses=dict(loss_kd=loss), warmup=2, end=8)
    )
    with caplog.at_level('INFO'):
        connect(hook, tiny.build_detector())
    (told,) = [x for x in caplog.messages if x.startswith('DistillHook: ')]
    assert told.splitlines()[1].endswith(
        ', times a weight that the first 100 steps choose for a pull of 0.5'
    )
    assert told.endswith(
        'from epoch 1 to epoch 8, growing linearly over the first 2 of them'
    )


@pytest.mark.slow
def test_factor_zero_trains_as_without_hook(tmp_path, teacher):
    weights = []
    for name, hooks in (
        ('plain', []),
        ('off', [hook_cfg(teacher, begin=9)]),
        ('on', [hook_cfg(teacher)]),
    ):
        runner = make_runner(tmp_path / name, hooks)
        runner.train()
        weights.append(
            torch.cat([p.flatten() for p in runner.model.parameters()])
        )
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.slow
def test_factor_zero_runs_no_teacher_and_clears_log(tmp_path, teacher):
    calls = []
    runner = make_runner(
        tmp_path, [hook_cfg(teacher, end=3, by_epoch=False)], epochs=2
    )
    hook = next(h for h in runner.hooks if type(h).__name__ == 'DistillHook')
    build = hook.before_train

    def before_train(runner):
        build(runner)
        model = hook.distiller.teachers[0].model
        model.register_forward_hook(lambda *a: calls.append('forward'))
        model.backbone.register_forward_hook(
            lambda *a: calls.append('backbone')
        )

    hook.before_train = before_train
    runner.train()
    assert calls == ['backbone'] * 3
    scalars = runner.message_hub.log_scalars
    assert (scalars['train/loss_kd'].data[0] > 0).tolist() == [True] * 3 + [
        False
    ] * 5
    assert 'train/kd_agreement' not in scalars


@pytest.mark.slow
def test_the_log_repeats_no_number_of_an_earlier_step(tmp_path, teacher):
    """Step 2 reads nothing, step 3 background alone, the others all."""
    logged = []

    class Watch(Hook):
        priority = 'LOW'  # after the hook, as LoggerHook is

        def after_train_iter(self, runner, *args, **kwargs):
            scalars = runner.message_hub.log_scalars
            logged.append({n for n in scalars if n.startswith('train/kd_')})

    runner = make_runner(
        tmp_path,
        [dict(type='CKDHook', teacher=teacher, tap=dict(type='RoIHeadTap'))],
    )
    runner.register_hook(Watch())
    hook = next(h for h in runner.hooks if type(h).__name__ == 'CKDHook')
    (tap,) = hook.distiller.taps
    take = tap.take

    def altered(teacher):
        reading = take(teacher)
        if len(logged) == 1:
            return None
        if len(logged) == 2:
            background = torch.full_like(reading.labels, len(tiny.CLASSES))
            reading = reading._replace(labels=background)
        return reading

    tap.take = altered
    runner.train()
    everywhere = {
        f'train/kd_{name}' for name in ('agreement', 'teacher_acc', 'gap_ckd')
    }
    foreground = {'train/kd_fg_agreement', 'train/kd_fg_teacher_acc'}
    assert logged == [
        everywhere | foreground,
        set(),
        everywhere,
        everywhere | foreground,
    ]


@pytest.mark.slow
def test_checkpoint_is_plain_student(tmp_path, teacher):
    hooks = [
        hook_cfg(teacher),
        dict(type='EMAHook', ema_type='ExponentialMovingAverage'),
    ]
    runner = make_runner(tmp_path, hooks)
    runner.train()
    path = tmp_path / 'work' / 'epoch_1.pth'
    plain = tiny.build_detector().state_dict()
    saved = load_from_local(path)
    assert saved['state_dict'].keys() == plain.keys()
    assert {k.removeprefix('module.') for k in saved['ema_state_dict']} - {
        'steps'
    } == plain.keys()
    numbers = sum(p.numel() for p in tiny.build_detector().parameters())
    assert numbers == sum(
        p.numel()
        for g in runner.optim_wrapper.param_groups
        for p in g['params']
    )
    # In a process that never heard of the plugin.
    config = Config(dict(default_scope='mmdet', model=tiny.detector_cfg()))
    config.dump(tmp_path / 'plain.py')
    code = (
        'import sys, torch\n'
        'from mmengine.config import Config\n'
        'from mmengine.registry import MODELS\n'
        'from mmdet.utils import register_all_modules\n'
        'register_all_modules()\n'
        f'cfg = Config.fromfile({str(tmp_path / "plain.py")!r})\n'
        'model = MODELS.build(cfg.model)\n'
        f'saved = torch.load({str(path)!r}, weights_only=False)\n'
        "print(model.load_state_dict(saved['state_dict'], strict=True))\n"
        "assert 'mmkd_plugin' not in sys.modules\n"
    )
    run = subprocess.run(
        [sys.executable, '-c', code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert run.returncode == 0, run.stderr
    assert 'All keys matched' in run.stdout


@pytest.mark.slow
def test_resume_goes_on_distilling(tmp_path, teacher):
    whole = make_runner(tmp_path / 'a', [hook_cfg(teacher)], epochs=2)
    whole.train()
    make_runner(tmp_path / 'b', [hook_cfg(teacher)], epochs=1).train()
    resumed = make_runner(
        tmp_path / 'b', [hook_cfg(teacher)], epochs=2, resume=True
    )
    resumed.train()
    assert resumed.iter == 8
    values = resumed.message_hub.log_scalars['train/loss_kd'].data[0]
    assert len(values) == 8
    assert (values > 0).all()


def test_gradients_reach_student_only(teacher, hook):
    model = tiny.build_detector().train()
    connect(hook, model)
    losses = losses_of(model, 0, 1)
    (losses['loss_kd'] + losses['loss_ckd']).backward()
    for part in (model.backbone.conv1, model.neck, model.roi_head.bbox_head):
        grads = [p.grad for p in part.parameters() if p.grad is not None]
        assert grads
        assert sum(grad.abs().sum() for grad in grads) > 0
    assert model.roi_head.bbox_head.fc_cls.weight.grad.abs().sum() > 0
    assert model.roi_head.bbox_head.fc_reg.weight.grad is None
    assert all(
        p.grad is None for p in hook.distiller.teachers[0].model.parameters()
    )
    assert not any(
        p.requires_grad for p in hook.distiller.teachers[0].model.parameters()
    )


def test_teacher_stays_in_eval(hook, teacher):
    model = tiny.build_detector().train()
    connect(hook, model)
    before = copy.deepcopy(hook.distiller.teachers[0].model.state_dict())
    model.train()
    losses_of(model, 0, 1)
    assert not any(
        m.training for m in hook.distiller.teachers[0].model.modules()
    )
    after = hook.distiller.teachers[0].model.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_maps_of_the_teacher_are_gone_before_backward(hook, teacher):
    """They are made while there are none of the student, and freed soon."""
    model = tiny.build_detector().train()
    connect(hook, model)
    taught, order, maps = hook.distiller.teachers[0].model, [], []
    for name, module in dict(
        student=model.backbone,
        teacher=taught.backbone,
        box_head=taught.roi_head.bbox_head,
    ).items():
        module.register_forward_pre_hook(lambda *_, n=name: order.append(n))
    taught.neck.register_forward_hook(
        lambda module, args, out: maps.extend(map(weakref.ref, out))
    )
    losses = losses_of(model, 0, 1)
    assert order == ['teacher', 'student', 'box_head']
    assert 'loss_kd' in losses
    assert len(maps) > 1
    assert not any(tensor() is not None for tensor in maps)


def test_same_model_as_teacher_gives_zero(tmp_path):
    teacher = tiny.save_teacher(tmp_path / 'same.pth', seed=0)
    hook = HOOKS.build(
        hook_cfg(
            teacher,
            losses=dict(
                loss_kd=dict(type='KDLoss', tau=1.0),
                loss_dkd=dict(type='DKDLoss', beta=0.25, tau=1.0),
            ),
        )
    )
    model = tiny.build_detector(0).train()
    connect(hook, model)
    # With batch statistics frozen, both compute the same function.
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    losses = losses_of(model, 0, 1)
    assert losses['loss_kd'].item() == pytest.approx(0, abs=1e-6)
    assert losses['loss_dkd'].item() == pytest.approx(0, abs=1e-6)
    assert losses['kd_agreement'].item() == 100
    assert losses['kd_fg_agreement'].item() == 100


def test_predict_and_eval_are_untouched(hook, teacher):
    model = tiny.build_detector()
    data = model.data_preprocessor(tiny.batch(0, 1), False)
    model.eval()
    plain = model(**copy.deepcopy(data), mode='predict')
    connect(hook, model)
    model.eval()
    with_hook = model(**copy.deepcopy(data), mode='predict')
    for a, b in zip(plain, with_hook, strict=True):
        assert torch.equal(a.pred_instances.bboxes, b.pred_instances.bboxes)
    assert 'loss_kd' not in losses_of(model, 0, 1)


def test_model_is_given_back(hook, teacher):
    model = tiny.build_detector().train()
    connect(hook, model)
    hook.after_train(None)
    assert 'loss_kd' not in losses_of(model, 0, 1)
    assert hook.distiller.teachers == []
    assert not any(m._forward_pre_hooks for m in model.modules())
    assert not any(m._forward_hooks for m in model.modules())


def test_copy_of_model_holds_no_teacher(hook, teacher):
    model = tiny.build_detector().train()
    connect(hook, model)
    twin = copy.deepcopy(model)
    (handler,) = twin._forward_hooks.values()
    (original,) = model._forward_hooks.values()
    assert handler is original
    assert twin.state_dict().keys() == model.state_dict().keys()


def test_no_roi_gives_zero_terms(hook, teacher):
    model = tiny.build_detector().train()
    connect(hook, model)
    losses_of(model, 0)
    # As a head that is not run at all.
    (tap,) = hook.distiller.taps
    tap._records[0].take = lambda: None
    losses = losses_of(model, 1)
    assert losses['loss_kd'] == 0
    assert 'kd_agreement' not in losses


@pytest.mark.parametrize('begin', [0, 9])
def test_no_roi_leaves_no_parameter_unused(teacher, begin):
    """Plain MMDetection leaves the classifier, which DDP does not forgive."""
    hook = HOOKS.build(hook_cfg(teacher, begin=begin))
    model = tiny.build_detector().train()
    model.train_cfg.rpn_proposal.min_bbox_size = 1e6
    data = model.data_preprocessor(tiny.batch(0, 1), True)
    for sample in data['data_samples']:
        sample.gt_instances = sample.gt_instances[:0]

    def unused():
        model.zero_grad()
        losses = model(**copy.deepcopy(data), mode='loss')
        model.parse_losses(losses)[0].backward()
        return [k for k, p in model.named_parameters() if p.grad is None]

    classifier = 'roi_head.bbox_head.fc_cls'
    assert unused() == [f'{classifier}.weight', f'{classifier}.bias']
    connect(hook, model)
    hook.distiller.factor = hook.schedule.factor_at(1)
    assert unused() == []


def test_own_terms_do_not_replace_those_of_the_model(teacher):
    hook = HOOKS.build(
        hook_cfg(teacher, losses=dict(loss_cls=dict(type='KDLoss', tau=1.0)))
    )
    model = tiny.build_detector().train()
    connect(hook, model)
    with pytest.raises(ValueError, match="already logs 'loss_cls'"):
        losses_of(model, 0)


@pytest.mark.slow
def test_epochs_with_iterations_are_refused(tmp_path, teacher):
    runner = make_runner(
        tmp_path,
        [hook_cfg(teacher, warmup=2)],
        train_cfg=dict(by_epoch=False, max_iters=2),
    )
    with pytest.raises(ValueError, match='by_epoch=False'):
        runner.train()


@pytest.mark.parametrize(
    'change, error, message',
    [
        (dict(teacher=dict(config='a.py')), TypeError, '`checkpoint`'),
        (dict(losses={}), TypeError, 'at least one loss'),
        (
            dict(losses=dict(kd=dict(type='KDLoss', tau=1.0))),
            ValueError,
            "'kd'",
        ),
        (dict(warmup=-1), ValueError, '`warmup`'),
        (dict(warmup=1.5), ValueError, '`warmup`'),
        (dict(begin=3, end=3), ValueError, '`end`'),
    ],
)
def test_bad_arguments(teacher, change, error, message):
    cfg = {**hook_cfg(teacher), **change}
    cfg.pop('type')
    with pytest.raises(error, match=message):
        mmkd_plugin.DistillHook(**cfg)


@pytest.mark.parametrize('scope', ['mmengine', 'mmdet'])
def test_presets_are_found_from_every_scope(scope, teacher):
    with DefaultScope.overwrite_default_scope(scope):
        ckd = HOOKS.build(
            dict(type='CKDHook', teacher=teacher, tau=0.5, gather=True)
        )
        rld = HOOKS.build(dict(type='RLDHook', teacher=teacher, beta=2.0))
    assert ckd.distiller.losses['loss_ckd'].tau == 0.5
    assert ckd.distiller.losses['loss_ckd'].loss_weight == 10
    assert ckd.distiller.losses['loss_ckd'].gather
    assert rld.distiller.losses['loss_rld'].beta == 2.0


@pytest.mark.parametrize('method', ['ckd', 'rld'])
def test_preset_and_fragment_have_one_set_of_numbers(method, teacher):
    fragment = Config.fromfile(f'{CONFIGS}/_base_/methods/{method}.py')
    kind = fragment.distill.type
    given = HOOKS.build(dict(fragment.distill, teacher=teacher))
    preset = HOOKS.build(dict(type=kind, teacher=teacher))
    name = f'loss_{method}'
    assert repr(preset.distiller.losses) == repr(given.distiller.losses)
    assert name in preset.distiller.losses


@pytest.mark.parametrize('standardize', [False, True])
def test_numbers_are_used_as_given(standardize, teacher):
    numbers = dict(alpha=1.5, beta=8.0, tau_scd=2.0, tau_mcd=4.0)
    cfg = dict(type='RLDHook', standardize=standardize, **numbers)
    hook = HOOKS.build(dict(cfg, teacher=teacher))
    (loss,) = hook.distiller.losses.values()
    assert numbers.items() <= vars(loss).items()
    assert loss.standardize == standardize


def test_several_teachers_average_their_probabilities(tmp_path, teacher):
    other = tiny.save_teacher(tmp_path / 'other.pth', seed=3)
    model = tiny.build_detector().train()
    hook = connect(HOOKS.build(hook_cfg([teacher, other])), model)
    seen = []
    loss = hook.distiller.losses['loss_kd']
    loss.register_forward_pre_hook(lambda m, args: seen.append(args[1]))
    logits = []
    for each in hook.distiller.teachers:
        each.model.roi_head.bbox_head.register_forward_hook(
            lambda module, args, output: logits.append(output[0])
        )
    data = model.data_preprocessor(tiny.batch(0, 1), True)
    model(**data, mode='loss')
    first, second = (found.softmax(1) for found in logits)
    torch.testing.assert_close(seen[0].exp(), (first + second) / 2)


@pytest.mark.slow
def test_two_hooks_teach_one_student(tmp_path, teacher):
    other = tiny.save_teacher(tmp_path / 'other.pth', seed=3)
    hooks = [
        dict(type='CKDHook', teacher=teacher),
        dict(type='RLDHook', teacher=other, log_prefix='second'),
    ]
    runner = make_runner(tmp_path, hooks)
    runner.train()
    logged = {
        key.removeprefix('train/') for key in runner.message_hub.log_scalars
    }
    assert {
        'loss_ckd',
        'loss_rld',
        'kd_agreement',
        'second_agreement',
    } < logged


@pytest.mark.slow
def test_two_hooks_with_one_name_are_refused(tmp_path, teacher):
    hooks = [
        dict(type='CKDHook', teacher=teacher),
        dict(type='RLDHook', teacher=teacher),
    ]
    with pytest.raises(ValueError, match='another `log_prefix`'):
        make_runner(tmp_path, hooks).train()
