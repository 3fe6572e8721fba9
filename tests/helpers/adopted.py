"""Trainings with a loss that has parameters, in one or two processes.

Of a small net, because the engine alone matters here; of a detector where
several parts of it take part.
"""

import copy

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import EMAHook, Hook
from mmengine.logging import MessageHub
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.registry import DATASETS, HOOKS, MODELS, OPTIM_WRAPPERS
from mmengine.runner import Runner
from torch import distributed as dist
from torch import nn
from torch.utils.data import Dataset

from mmkd_plugin import DistillHook
from mmkd_plugin.checkpoints.reading import load_strictly
from mmkd_plugin.hooks import distill_hook
from tests.helpers.group import everywhere, flat
from tests.helpers.quick import leave_out_what_takes_long

WIDTH = 4


@MODELS.register_module()
class AdaptedLoss(nn.Module):
    """Squared difference after a convolution per level."""

    kind = 'features'
    default_tap = dict(type='FeatureTap')

    def __init__(self, norm=True):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(WIDTH, WIDTH, 1, bias=not norm),
                nn.BatchNorm2d(WIDTH) if norm else nn.Identity(),
            )
            for _ in range(2)
        )

    def forward(self, student, teacher, labels, weights=None):
        pairs = zip(self.layers, student, teacher, strict=True)
        return sum((layer(s) - t).square().mean() for layer, s, t in pairs)


@MODELS.register_module()
class SpoiltLoss(AdaptedLoss):
    """NaN in the second step, through its parameters too."""

    steps = 0

    def forward(self, *reading):
        self.steps += 1
        value = super().forward(*reading)
        return value * float('nan') if self.steps == 2 else value


class Neck(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(8, WIDTH, 1) for _ in range(2))

    def forward(self, maps):
        return tuple(layer(x) for layer, x in zip(self.layers, maps))


@MODELS.register_module()
class SmallNet(BaseModel):
    """Two stages, and a neck with a map of each."""

    def __init__(self, seed=0, norm=True):
        super().__init__(dict(type='ImgDataPreprocessor'))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.backbone = nn.Conv2d(3, 8, 3, stride=2, bias=False)
            self.norm = nn.BatchNorm2d(8) if norm else nn.Identity()
            self.neck = Neck()

    def extract_feat(self, inputs):
        first = self.norm(self.backbone(inputs))
        return self.neck([first, nn.functional.avg_pool2d(first, 2)])

    def forward(self, inputs, data_samples=None, mode='tensor'):
        maps = self.extract_feat(inputs)
        return dict(loss_task=sum(x.square().mean() for x in maps))


@DATASETS.register_module()
class NumberedNoise(Dataset):
    """Images of random numbers."""

    def __init__(self, length):
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        return dict(inputs=torch.randn(3, 16, 16, generator=generator))


@OPTIM_WRAPPERS.register_module()
class ScaledOptimWrapper(OptimWrapper):
    """Loss scaling as of AmpOptimWrapper, which wants a GPU."""

    def __init__(self, factor, **kwargs):
        super().__init__(**kwargs)
        self.scaler = torch.amp.GradScaler('cpu')
        self.factor = factor

    def backward(self, loss, **kwargs):
        if self._inner_count == 1:
            loss = self.factor * loss
        self.scaler.scale(loss).backward()
        self._inner_count += 1

    def step(self, **kwargs):
        self.scaler.unscale_(self.optimizer)
        self.scaler.step(self.optimizer)
        self.scaler.update()


@HOOKS.register_module()
class NoteWeights(Hook):
    """Keep the parameters of model and loss before the last step."""

    def before_train_iter(self, runner, *args, **kwargs):
        runner.before = trained(runner)


SGD = dict(type='SGD', lr=0.01, momentum=0.9)
DDP = dict(type='MMDistributedDataParallel', device_ids=None)
# By name: what the runner is given, and what the hook is.
SETTINGS = {
    'plain': ({}, {}),
    'find_unused': (
        dict(model_wrapper_cfg=dict(DDP, find_unused_parameters=True)),
        {},
    ),
    'broadcast_buffers': (
        dict(model_wrapper_cfg=dict(DDP, broadcast_buffers=True)),
        {},
    ),
    'accumulation': (
        dict(optim_wrapper=dict(optimizer=SGD, accumulative_counts=2)),
        {},
    ),
    'clipping': (
        dict(optim_wrapper=dict(optimizer=SGD, clip_grad=dict(max_norm=0.1))),
        {},
    ),
    'bfloat16': (
        dict(optim_wrapper=dict(type='BFloat16OptimWrapper', optimizer=SGD)),
        {},
    ),
    'late_start': ({}, dict(begin=2, by_epoch=False)),
    'paramwise': (
        dict(
            optim_wrapper=dict(
                optimizer=SGD,
                paramwise_cfg=dict(custom_keys=dict(distill=dict(lr_mult=3))),
            )
        ),
        {},
    ),
    'schedule': (
        dict(
            auto_scale_lr=dict(enable=True, base_batch_size=4),
            param_scheduler=[
                dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=3)
            ],
        ),
        {},
    ),
    'ema': (
        dict(custom_hooks=[dict(type='EMAHook', update_buffers=True)]),
        {},
    ),
    'skip': ({}, dict(on_nonfinite='skip')),
}
ON_TWO_RANKS = [name for name in SETTINGS if name != 'skip']


def loader(size, length, shuffle=True):
    return dict(
        batch_size=size,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=shuffle),
        dataset=dict(type='NumberedNoise', length=length),
        collate_fn=dict(type='default_collate'),
    )


def build(folder, name, run_name, epochs=2, norm=True, losses=None, **kwargs):
    """A runner of the small net, in a setting.

    Args:
        losses (list[dict]): Those of each distillation hook.
    """
    given, hook = copy.deepcopy(SETTINGS[name])
    if dist.is_initialized():
        given = dict(dict(launcher='pytorch', model_wrapper_cfg=DDP), **given)
    work = folder / run_name
    cfg = dict(
        model=dict(type='SmallNet'),
        work_dir=str(work),
        train_dataloader=loader(1, 4),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(optimizer=SGD),
        randomness=dict(seed=1),
        experiment_name=f'{folder.name}-{run_name}',
        log_level='WARNING',
    )
    cfg.update(given)
    cfg.update(kwargs)
    teacher = dict(
        config=dict(model=dict(type='SmallNet', seed=1)),
        checkpoint=str(folder / 't.pth'),
    )
    losses = losses or [dict(loss_x=dict(type='AdaptedLoss', norm=norm))]
    cfg['custom_hooks'] = [
        *(
            dict(type='DistillHook', teacher=teacher, losses=each, **hook)
            for each in losses
        ),
        dict(type='ExactResumeHook'),
        dict(type='NoteWeights'),
        *cfg.get('custom_hooks', []),
    ]
    MessageHub._instance_dict.pop(cfg['experiment_name'], None)
    return Runner.from_cfg(Config(cfg))


def run(*args, **kwargs):
    with pytest.MonkeyPatch.context() as patch:
        leave_out_what_takes_long(patch)
        runner = build(*args, **kwargs)
        runner.train()
    return runner


def save_teacher(folder):
    torch.save(SmallNet(seed=1).state_dict(), folder / 't.pth')


def model_of(runner):
    return getattr(runner.model, 'module', runner.model)


def losses_of(runner):
    """The losses of all distillation hooks."""
    return nn.ModuleDict(
        (name, loss)
        for hook in runner.hooks
        if isinstance(hook, DistillHook)
        for name, loss in hook.distiller.losses.items()
    )


def trained(runner):
    """The parameters of model and loss, as one vector."""
    return torch.cat(
        [flat(x.parameters()) for x in (model_of(runner), losses_of(runner))]
    )


def state_of(runner):
    """Parameters and buffers of model, loss and moving average."""
    states = [model_of(runner), losses_of(runner)]
    states += [h.ema_model for h in runner.hooks if isinstance(h, EMAHook)]
    return flat(
        x.double() for each in states for x in each.state_dict().values()
    )


def prepare(folder):
    if dist.get_rank() == 0:
        save_teacher(folder)
    dist.barrier()


def gap(runner):
    """Largest difference of a parameter between the processes."""
    first, second = everywhere(trained(runner))
    return (first - second).abs().max().item()


def check_setting(folder, name):
    """Equal ranks, a plain student, and an exact resume."""
    prepare(folder)
    runner = run(folder, name, 'whole')
    assert gap(runner) == 0
    assert (trained(runner) != runner.before).all()
    plain = SmallNet()
    assert model_of(runner).state_dict().keys() == plain.state_dict().keys()
    for hook in runner.hooks:
        if isinstance(hook, EMAHook):
            names = {n for n, _ in hook.ema_model.module.named_parameters()}
            assert names == {n for n, _ in plain.named_parameters()}
    groups = runner.optim_wrapper.optimizer.param_groups
    if name == 'paramwise':
        assert sorted({g['lr'] for g in groups}) == [0.01, 0.03]
    if name == 'schedule':  # scaled once: 2 images per step, of 4
        assert {g['initial_lr'] for g in groups} == {0.005}
    # Stop after the first epoch, and go on.
    run(folder, name, 'parts', epochs=1)
    resumed = run(folder, name, 'parts', resume=True)
    assert resumed.iter == runner.iter == 4
    assert torch.equal(trained(resumed), trained(runner))
    if dist.get_rank() == 0:  # the others have loaded its buffers
        assert torch.equal(state_of(resumed), state_of(runner))
    dist.barrier()
    saved = torch.load(folder / 'parts/epoch_2.pth', weights_only=False)
    assert set(saved['distill']) == {'loss_x'}
    load_strictly(plain, saved['state_dict'], 'epoch_2.pth', role='student')


def optimizer_only(runner, losses):
    """As `adopt`, but with the parameters in the optimizer alone."""
    for loss in losses.values():
        runner.optim_wrapper.optimizer.add_param_group(
            dict(params=list(loss.parameters()))
        )


def check_control(folder):
    """Without a reducer the processes drift apart, and nobody says so."""
    prepare(folder)
    adopt, distill_hook.adopt = distill_hook.adopt, optimizer_only
    try:
        assert gap(run(folder, 'plain', 'control')) > 1e-4
    finally:
        distill_hook.adopt = adopt


# Without normalisation over the batch, the mean of two images is that of two
# processes.
ONE_STEP = dict(norm=False, epochs=1, model=dict(type='SmallNet', norm=False))


def check_split(folder):
    """An image in each of two processes."""
    prepare(folder)
    runner = run(
        folder,
        'plain',
        'split',
        train_dataloader=loader(1, 2, shuffle=False),
        **ONE_STEP,
    )
    if dist.get_rank() == 0:
        torch.save(flat(losses_of(runner).parameters()), folder / 'split.pt')
