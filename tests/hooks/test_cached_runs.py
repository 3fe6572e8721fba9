"""Trainings with a cached teacher, against those without."""

import gc
import os
import shutil
import signal
import weakref
from types import SimpleNamespace

import pytest
import torch
import train
from mmengine.hooks import Hook
from torch import distributed as dist

from mmkd_plugin.teachers.cache.store import Store
from mmkd_plugin.teachers.teacher import Teacher
from tests.helpers.cached_runs import (
    CLASSES,
    IMAGES,
    LOSSES,
    differing,
    history,
    loader_cfg,
    make_world,
    runner_of,
    save_sheets,
    trained,
)
from tests.helpers.classifier_runs import hook_cfg
from tests.helpers.data_worlds import save_pictures
from tests.helpers.group import everywhere
from tests.helpers.interrupted import in_fork
from tests.helpers.tiny_cls import save_teacher
from tests.helpers.tool_runs import run, write_config

CROPS = dict(padding=1, flip_prob=0.5)


@pytest.fixture
def world(tmp_path):
    """A folder with data, a teacher, and one with a folder for its logits."""
    teacher = make_world(tmp_path)
    cached = {**teacher, 'cache': str(tmp_path / 'cache')}
    return SimpleNamespace(folder=tmp_path, teacher=teacher, cached=cached)


class Forwards(Hook):
    """Count the images that teachers compute in training, in each epoch."""

    priority = 'LOWEST'

    def __init__(self, monkeypatch):
        self.counts = []
        really = Teacher.see

        def see(teacher, inputs, *args):
            if self.counts:
                self.counts[-1] += len(inputs)
            really(teacher, inputs, *args)

        monkeypatch.setattr(Teacher, 'see', see)

    def before_train_epoch(self, runner):
        self.counts.append(0)
        (hook,) = (h for h in runner.hooks if hasattr(h, 'distiller'))
        self.loaded = [t.model is not None for t in hook.distiller.teachers]


def test_losses_are_those_without_a_cache(world):
    """To the last bit: filling it, and reading from it."""
    plain = trained(world.folder, world.teacher, data=CROPS, epochs=3)
    assert len(plain['train/loss_rld']) == 9
    for _ in range(2):
        cached = trained(world.folder, world.cached, data=CROPS, epochs=3)
        assert differing(plain, cached) == []
    other = {**world.teacher, **save_teacher(world.folder / 'u.pth', seed=8)}
    assert differing(plain, trained(world.folder, other, data=CROPS, epochs=3))


def test_full_cache_needs_no_teacher(world, monkeypatch):
    forwards = Forwards(monkeypatch)
    release, released = Teacher.release, []

    def note(teacher):
        released.append(weakref.ref(teacher.model))
        release(teacher)

    monkeypatch.setattr(Teacher, 'release', note)

    def run():
        forwards.counts = []
        runner = runner_of(world.folder, world.cached, epochs=2)
        runner.register_hook(forwards)
        runner.train()
        return history(runner)

    first = run()
    assert forwards.loaded == [True]
    assert forwards.counts == [IMAGES, 0]
    second = run()
    assert forwards.loaded == [False]
    assert forwards.counts == [0, 0]
    gc.collect()
    # Nothing else has held it.
    assert [model() for model in released] == [None]
    assert differing(first, second) == []


def test_teacher_is_evaluated_before_it_is_freed(world, monkeypatch):
    settings = dict(
        hook=dict(evaluate_teacher=True, min_metric={'accuracy/top1': 0.0}),
        val_dataloader=loader_cfg(world.folder),
        val_cfg=dict(),
        val_evaluator=dict(type='Accuracy', topk=1),
    )
    forwards = Forwards(monkeypatch)
    for _ in range(2):
        shutil.rmtree(world.folder / 'work', ignore_errors=True)
        runner = runner_of(world.folder, world.cached, **settings)
        runner.register_hook(forwards)
        runner.train()
        assert (world.folder / 'work' / 'teacher_metrics.json').is_file()
    assert forwards.loaded == [False]


def test_several_teachers(world):
    """Averaged: some of them cached, or all."""
    second = save_teacher(world.folder / 'u.pth', 8, classes=CLASSES)
    plain = trained(world.folder, [world.teacher, second], data=CROPS)
    cached = {**second, 'cache': str(world.folder / 'other')}
    for teachers in (
        [world.teacher, cached],
        [world.cached, cached],
        [world.cached, cached],
    ):
        found = trained(world.folder, teachers, data=CROPS)
        assert differing(plain, found) == []


def test_taps_of_maps_are_refused(world):
    loss = dict(
        type='PKDLoss',
        loss_weight=1.0,
        student_channels=[8],
        teacher_channels=[8],
        tap=dict(type='FeatureTap', modules='backbone'),
    )
    runner = runner_of(
        world.folder, world.cached, hook=dict(losses=dict(loss_pkd=loss))
    )
    with pytest.raises(TypeError, match='^FeatureTap reads more .* alone'):
        runner.train()
    assert not (world.folder / 'cache').exists()


def test_mixed_precision(world):
    """The teacher's logits are of its own precision."""
    amp = dict(
        optim_wrapper=dict(
            type='BFloat16OptimWrapper',
            optimizer=dict(type='SGD', lr=0.01),
        )
    )
    exact = {**world.teacher, 'precision': 'fp32'}
    plain = trained(world.folder, exact, data=CROPS, **amp)
    for _ in range(2):
        found = trained(world.folder, world.cached, data=CROPS, **amp)
        assert differing(plain, found) == []


def test_folders_of_images(world):
    """Boxes that are replayed; full when all views of all were drawn."""
    for number, name in enumerate(CLASSES):
        save_pictures(world.folder / 'train' / name, number=2 + number)
    loader = dict(
        # All batches are of one size, so that all logits have the same bits.
        batch_size=3,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=True),
        dataset=dict(
            type='CustomDataset',
            data_root=str(world.folder),
            data_prefix='train',
            classes=CLASSES,
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='ReplayedResizedCrop', scale=16, views=2),
                dict(type='PackInputs', meta_keys=('sample_idx', 'variant')),
            ],
        ),
        collate_fn=dict(type='default_collate'),
    )
    settings = dict(train_dataloader=loader, epochs=2)
    plain = trained(world.folder, world.teacher, **settings)
    for _ in range(2):
        found = trained(world.folder, world.cached, **settings)
        assert differing(plain, found) == []
    filled = Store(world.folder / 'cache', 18, 3).filled()
    assert 9 < len(filled) <= 18


@pytest.mark.slow
def test_workers(world):
    plain = trained(world.folder, world.teacher, epochs=2)
    loader = loader_cfg(world.folder)
    loader.update(num_workers=2, persistent_workers=True)
    for _ in range(2):
        found = trained(
            world.folder, world.cached, epochs=2, train_dataloader=loader
        )
        assert differing(plain, found) == []


@pytest.mark.slow
def test_ranks(group, tmp_path):
    group(2).run(check_ranks, tmp_path)


def check_ranks(folder):
    """Two ranks make one cache, fill it, and train from it."""
    rank = dist.get_rank()
    if rank == 0:
        save_sheets(folder / 'data')
    dist.barrier()
    teacher = save_teacher(folder / f'{rank}.pth', classes=CLASSES)
    cached = {**teacher, 'cache': str(folder / 'cache')}
    settings = dict(
        launcher='pytorch',
        model_wrapper_cfg=dict(
            type='MMDistributedDataParallel', device_ids=None
        ),
        epochs=2,
    )
    plain = trained(folder, teacher, **settings)
    for _ in range(2):
        found = trained(folder, cached, **settings)
        assert differing(plain, found) == []
        assert len(Store(folder / 'cache', IMAGES, 3).filled()) == IMAGES
    assert not list(folder.glob('.part*'))
    # They see different images.
    assert not torch.equal(*everywhere(plain['train/loss_kd']))


@pytest.mark.slow
def test_kill_and_resume(world, monkeypatch, capsys):
    """Killed in each kind of write; no row of it is wrong afterwards."""

    def config(name, teacher):
        folder = world.folder / name
        folder.mkdir()
        return write_config(
            folder,
            [hook_cfg(teacher, losses=LOSSES)],
            classifier=True,
            train_dataloader=loader_cfg(world.folder, **CROPS),
        )

    def weights(name):
        path = world.folder / name / 'config_work' / 'epoch_2.pth'
        return torch.load(path, weights_only=False)['state_dict']

    assert run(monkeypatch, capsys, train, config('plain', world.teacher))[
        0
    ] in (0, None)
    really = os.pwrite
    for number in (0, 5, 13, 30):
        shutil.rmtree(world.folder / 'cache', ignore_errors=True)
        name = f'killed{number}'
        path = config(name, world.cached)

        def killed(number=number, path=path):
            calls = []

            def write(file, content, place):
                calls.append(place)
                if len(calls) > number:
                    really(file, content[: len(content) // 2], place)
                    os.kill(os.getpid(), signal.SIGKILL)
                return really(file, content, place)

            monkeypatch.setattr(os, 'pwrite', write)
            run(monkeypatch, capsys, train, path)

        assert in_fork(killed) == -signal.SIGKILL
        # An epoch has 24 writes.
        options = ['--resume'] if number > 24 else []
        run(monkeypatch, capsys, train, path, *options)
        assert differing(weights('plain'), weights(name)) == []
