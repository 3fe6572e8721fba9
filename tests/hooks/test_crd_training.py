"""CRD in a training: a plain student, banks beside it, an exact resume."""

import pytest
import torch
from mmengine.registry import DATASETS
from torch import distributed as dist

from mmkd_plugin.checkpoints.unpickling import load_from_local
from tests.helpers import tiny_cls
from tests.helpers.adopted import DDP
from tests.helpers.classifier_runs import hook_cfg, make_runner
from tests.helpers.group import everywhere
from tests.helpers.quick import leave_out_what_takes_long

CRD = dict(
    type='CRDLoss',
    dim=5,
    negatives=3,
    tau=0.07,
    momentum=0.5,
    num_samples=8,
    loss_weight=0.8,
    student_channels='auto',
    teacher_channels='auto',
)


@DATASETS.register_module()
class NumberedPictures(tiny_cls.Pictures):
    """Pictures that know their place, and all labels."""

    def __init__(self, length=8):
        super().__init__(length)
        self.labels = torch.arange(length) % 3

    def __getitem__(self, index):
        found = super().__getitem__(index)
        found['data_samples'].set_metainfo(dict(sample_idx=index))
        return found


@DATASETS.register_module()
class UnnumberedPictures(NumberedPictures):
    """Know all labels alone."""

    def __getitem__(self, index):
        return tiny_cls.Pictures.__getitem__(self, index)


def train(
    folder, name, epochs=2, loss=CRD, data='NumberedPictures', **changes
):
    """Train two epochs of two steps on a process; return runner and loss."""
    teacher = dict(
        config=dict(
            default_scope='mmpretrain', model=tiny_cls.classifier_cfg(width=8)
        ),
        checkpoint=str(folder / 'teacher.pth'),
    )
    hooks = [
        hook_cfg(teacher, losses=dict(loss_crd=loss)),
        dict(type='ExactResumeHook'),
    ]
    if dist.is_initialized():
        changes.update(
            launcher='pytorch',
            model_wrapper_cfg=DDP,
            # Each rank would begin with other banks.
            randomness=dict(seed=1, diff_rank_seed=True),
        )
    with pytest.MonkeyPatch.context() as patch:
        leave_out_what_takes_long(patch)
        runner = make_runner(
            folder / name,
            hooks,
            train_dataloader=dict(
                batch_size=2 if dist.is_initialized() else 4,
                num_workers=0,
                sampler=dict(type='DefaultSampler', shuffle=True),
                dataset=dict(type=data),
            ),
            train_cfg=dict(by_epoch=True, max_epochs=epochs),
            val_dataloader=None,
            val_cfg=None,
            val_evaluator=None,
            **changes,
        )
        runner.train()
    (hook,) = (h for h in runner.hooks if hasattr(h, 'distiller'))
    return runner, hook.distiller.losses['loss_crd']


@pytest.fixture
def folder(tmp_path):
    tiny_cls.save_teacher(tmp_path / 'teacher.pth', width=8)
    return tmp_path


def test_what_is_saved(folder):
    runner, loss = train(folder, 'one')
    saved = load_from_local(folder / 'one/work/epoch_2.pth')
    tiny_cls.build_classifier().load_state_dict(saved['state_dict'])
    kept = saved['distill']['loss_crd']
    assert set(kept) == {
        *('student_bank', 'teacher_bank', 'log_z'),
        *('student_map.weight', 'student_map.bias'),
        *('teacher_map.weight', 'teacher_map.bias'),
    }
    for name, value in loss.state_dict().items():
        assert kept[name].equal(value)
    # All eight were seen.
    assert loss.student_bank.norm(dim=1).allclose(torch.ones(8))
    first = load_from_local(folder / 'one/work/epoch_1.pth')['distill']
    first = first['loss_crd']
    assert first['log_z'].ne(0).all() and first['log_z'].equal(kept['log_z'])
    for name in ('student_bank', 'teacher_map.weight', 'student_map.weight'):
        assert not first[name].equal(kept[name])


def assert_equal_runs(one, other):
    for part, twin in zip(one, other):
        part, twin = (
            getattr(x, 'model', x).state_dict() for x in (part, twin)
        )
        assert part.keys() == twin.keys()
        assert all(twin[name].equal(value) for name, value in part.items())


def test_exact_resume(folder):
    """With the banks, Z, and the same negatives."""
    whole = train(folder, 'whole')
    train(folder, 'parts', epochs=1)
    assert_equal_runs(train(folder, 'parts', resume=True), whole)


def test_data_without_an_index(folder):
    with pytest.raises(RuntimeError, match='Expected a `sample_idx` in the'):
        train(folder, 'work', data='UnnumberedPictures')


def test_data_without_labels(folder):
    with pytest.raises(TypeError, match='but got Pictures, which does not'):
        train(folder, 'work', data='Pictures')


def test_data_of_another_length(folder):
    with pytest.raises(ValueError, match='`num_samples` of CRDLoss to be 8'):
        train(folder, 'work', loss=CRD | dict(num_samples=9))


def on_two_ranks(folder):
    """Equal banks on both, and an exact resume."""
    if dist.get_rank() == 0:
        tiny_cls.save_teacher(folder / 'teacher.pth', width=8)
    dist.barrier()
    whole = train(folder, 'whole')
    first, second = everywhere(whole[1].state_dict())
    for name, value in first.items():
        assert second[name].equal(value), name
    assert whole[1].student_bank.norm(dim=1).allclose(torch.ones(8))
    train(folder, 'parts', epochs=1)
    resumed = train(folder, 'parts', resume=True)
    for name, value in resumed[1].state_dict().items():
        assert whole[1].state_dict()[name].equal(value), name


@pytest.mark.slow
def test_two_ranks(group, tmp_path):
    group(2).run(on_two_ranks, tmp_path)
