"""Losses with parameters: one optimizer, one reducer, a plain student."""

import copy

import pytest
import torch
from mmengine.model.wrappers import MMSeparateDistributedDataParallel
from torch import nn

from mmkd_plugin.checkpoints.unpickling import safe_loading
from mmkd_plugin.distill.adopt import adopt
from tests.helpers import adopted
from tests.helpers.adopted import AdaptedLoss, build, losses_of, run
from tests.helpers.group import flat


@pytest.fixture
def folder(tmp_path):
    adopted.save_teacher(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize('name', adopted.ON_TWO_RANKS)
def test_setting_on_two_ranks(group, tmp_path, name):
    group(2).run(adopted.check_setting, tmp_path, name)


@pytest.mark.slow
def test_parameters_in_the_optimizer_alone_drift_apart(group, tmp_path):
    """The control: what the test of the settings must be able to see."""
    group(2).run(adopted.check_control, tmp_path)


@pytest.mark.slow
def test_two_ranks_train_as_one_process_with_both_images(group, folder):
    group(2).run(adopted.check_split, folder)
    whole = run(
        folder,
        'plain',
        'one',
        train_dataloader=adopted.loader(2, 2, shuffle=False),
        **adopted.ONE_STEP,
    )
    torch.testing.assert_close(
        flat(losses_of(whole).parameters()),
        torch.load(folder / 'split.pt'),
        rtol=0,
        atol=1e-7,
    )


@pytest.mark.parametrize('factor, moves', [(1.0, True), (1e38, False)])
def test_overflow_skips_student_and_loss_together(folder, factor, moves):
    runner = run(
        folder,
        'plain',
        'scaled',
        epochs=1,
        train_dataloader=adopted.loader(2, 4),
        optim_wrapper=dict(
            type='ScaledOptimWrapper', factor=factor, optimizer=adopted.SGD
        ),
    )
    changed = adopted.trained(runner) != runner.before
    assert changed.all() if moves else not changed.any()


def test_several_hooks_and_losses(folder):
    """One optimizer has the parameters of all; each is trained and saved."""
    adapted = dict(type='AdaptedLoss')
    runner = run(
        folder,
        'plain',
        'several',
        losses=[dict(loss_x=adapted, loss_y=adapted), dict(loss_z=adapted)],
    )
    assert (adopted.trained(runner) != runner.before).all()
    assert len(flat(losses_of(runner).parameters())) == 3 * len(
        flat(AdaptedLoss().parameters())
    )
    saved = torch.load(folder / 'several/epoch_2.pth', weights_only=False)
    assert set(saved['distill']) == {'loss_x', 'loss_y', 'loss_z'}
    groups = runner.optim_wrapper.optimizer.param_groups
    counts = [len(group['params']) for group in groups]
    known = [*runner.model.parameters(), *losses_of(runner).parameters()]
    assert sum(counts) == len(known)


@pytest.mark.parametrize('paramwise', [False, True])
def test_parts_without_weight_decay(folder, monkeypatch, paramwise):
    """What a loss names so, in any grouping; all else as configured."""
    monkeypatch.setattr(
        AdaptedLoss, 'without_decay', ['layers'], raising=False
    )
    keys = dict(distill=dict(lr_mult=3, decay_mult=2)) if paramwise else {}
    runner = run(
        folder,
        'plain',
        'decay',
        epochs=1,
        optim_wrapper=dict(
            optimizer=dict(adopted.SGD, weight_decay=0.5),
            paramwise_cfg=dict(custom_keys=keys) if paramwise else None,
        ),
        param_scheduler=[dict(type='ConstantLR', factor=0.5, end=9)],
    )
    spared = {id(p) for p in losses_of(runner).parameters()}
    groups = runner.optim_wrapper.optimizer.param_groups
    seen = [(id(p), group) for group in groups for p in group['params']]
    assert len(seen) == len({i for i, _ in seen})
    assert len(seen) == len(spared) + len([*runner.model.parameters()])
    for found, group in seen:
        assert group['weight_decay'] == (0 if found in spared else 0.5)
        rate = 3 * 0.01 if paramwise and found in spared else 0.01
        assert group['initial_lr'] == pytest.approx(rate)
        assert group['lr'] == pytest.approx(rate / 2)
    assert all(group['params'] for group in groups)


def test_a_skipped_step_leaves_the_parameters_finite(folder):
    runner = run(
        folder,
        'skip',
        'work',
        epochs=1,
        losses=[dict(loss_x=dict(type='SpoiltLoss'))],
    )
    assert runner.iter == 4
    skipped = runner.message_hub.log_scalars['train/kd_skipped'].data[0]
    assert skipped.tolist() == [0, 100, 0, 0]
    assert adopted.trained(runner).isfinite().all()
    assert (folder / 'work/epoch_1.pth').is_file()


@pytest.mark.slow
def test_compiled_model(folder):
    found = []
    for name, compile_cfg in dict(
        eager=False, compiled=dict(backend='aot_eager')
    ).items():
        torch.compiler.reset()
        runner = run(folder, 'plain', name, compile=compile_cfg)
        found.append(adopted.trained(runner))
    assert torch._dynamo.utils.counters['stats']['unique_graphs'] > 0
    torch.testing.assert_close(*found)


def test_first_weights_are_those_without_the_loss(folder):
    """So that runs with and without it can be compared by seed."""
    torch.manual_seed(3)
    wanted = torch.rand(1)
    torch.manual_seed(3)
    build(folder, 'plain', 'first', randomness=dict(seed=3))
    torch.manual_seed(3)
    assert torch.rand(1) == wanted


def test_testing_adopts_nothing(folder):
    runner = build(folder, 'plain', 'test')
    before = runner.optim_wrapper
    runner.call_hook('before_run')
    assert runner.optim_wrapper is before
    assert isinstance(before, dict)


def test_resume_without_the_parameters(folder):
    runner = run(folder, 'plain', 'work', epochs=1)
    file = folder / 'work/epoch_1.pth'
    saved = torch.load(file, weights_only=False)
    kept = saved.pop('distill')
    torch.save(saved, file)
    message = 'epoch_1.pth cannot be resumed: it holds no parameters of loss_x'
    with pytest.raises(ValueError, match=message):
        run(folder, 'plain', 'work', load_from=str(file), resume=True)
    kept['loss_x']['layers.0.0.weight'] = torch.zeros(7)
    torch.save({**saved, 'distill': kept}, file)
    message = (
        r'does not fit the parameters of loss_x, such as layers.0.0.weight'
    )
    with pytest.raises(ValueError, match=message):
        run(folder, 'plain', 'work', load_from=str(file), resume=True)
    assert runner.iter == 4


def test_resume_without_the_hook_of_exact_resume(folder, monkeypatch):
    run(folder, 'plain', 'work', epochs=1)
    file = folder / 'work/epoch_1.pth'
    saved = torch.load(file, weights_only=False)
    del saved['distill']
    torch.save(saved, file)
    runner = build(folder, 'plain', 'work', load_from=str(file), resume=True)
    runner._hooks = [
        hook
        for hook in runner.hooks
        if type(hook).__name__ != 'ExactResumeHook'
    ]
    message = 'to resume from holds no parameters of loss_x: resume from one'
    with pytest.raises(ValueError, match=message):
        runner.train()


def test_load_from_starts_with_new_parameters(folder):
    run(folder, 'plain', 'work', epochs=1)
    file = str(folder / 'work/epoch_1.pth')
    runner = build(folder, 'plain', 'new', load_from=file)
    first = flat(losses_of(runner).parameters())
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    with safe_loading():
        runner.load_or_resume()
    assert torch.equal(flat(losses_of(runner).parameters()), first)
    assert not torch.equal(
        runner.model.backbone.weight, adopted.SmallNet().backbone.weight
    )


class Separate(MMSeparateDistributedDataParallel):
    """Without processes."""

    def __init__(self, module):
        nn.Module.__init__(self)
        self.module = module


def strategy(runner):
    runner.strategy = 'DDPStrategy'


def separate(runner):
    runner.model = Separate(runner.model)


def optimizer_object(runner):
    runner.cfg = copy.copy(runner.cfg)
    runner.cfg._cfg_dict.pop('optim_wrapper')


def scheduler_object(runner):
    runner.param_schedulers = [object()]


def attribute(runner):
    runner.model.distill = nn.Identity()


def constructor(runner):
    def build_optim_wrapper(cfg):
        return runner.kept

    runner.kept = runner.optim_wrapper
    runner.build_optim_wrapper = build_optim_wrapper


@pytest.mark.parametrize(
    'change, message',
    [
        (strategy, 'which FlexibleRunner cannot take: use the `Runner`'),
        (separate, 'which Separate cannot take: use MMDistributedDataPar'),
        (optimizer_object, '`optim_wrapper` of the config, but got None'),
        (scheduler_object, '`param_scheduler` of the config, but got None'),
        (attribute, 'SmallNet already has an attribute of that name'),
        (constructor, '6 of 6 parameters of loss_x are in no parameter group'),
    ],
)
def test_refused(folder, change, message):
    runner = build(folder, 'plain', 'refused')
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    change(runner)
    with pytest.raises((TypeError, ValueError), match=message):
        adopt(runner, dict(loss_x=AdaptedLoss()))
    model = getattr(runner.model, 'module', runner.model)
    assert 'distill.layers.0.0.weight' not in model.state_dict()
