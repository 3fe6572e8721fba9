"""A step with a teacher makes nobody wait longer for the GPU.

Counted are operations, not seconds.  On the CPU those are found that read a
value; on the meta device, where nothing can be read, copies to it too.
"""

from collections import Counter
from contextlib import nullcontext

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import EpochBasedTrainLoop

from mmkd_plugin import DistillHook
from mmkd_plugin.resume.randomness import seed_by
from mmkd_plugin.taps import RoIHeadTap
from mmkd_plugin.taps.roi.roi_record import RoIRecord
from tests.helpers import classifier_runs as classifier
from tests.helpers import detector_runs as detector
from tests.helpers import tiny, tiny_cls
from tests.helpers.waits import Recorder

LOSSES = dict(
    loss_kd=dict(type='KDLoss', tau=1.0),
    loss_dkd=dict(type='DKDLoss', beta=0.25, tau=1.0),
    loss_rld=dict(type='RLDLoss', beta=8.0, tau_scd=1.0, tau_mcd=4.0),
    loss_ckd=dict(type='CKDLoss', tau=1.0, loss_weight=1.0),
)
NUMBERS = {
    *LOSSES,
    *('kd_agreement', 'kd_teacher_acc', 'kd_skipped', 'kd_gap_ckd'),
}
FOREGROUND = {'kd_fg_agreement', 'kd_fg_teacher_acc'}
# So that the teacher's images and classes are converted.
OWN_INPUT = dict(mean=[0.0] * 3, std=[1.0] * 3)
OTHER_ORDER = tiny.CLASSES[::-1]
PARTS = (
    'backbone',
    'neck',
    'rpn_head',
    'roi_head.bbox_roi_extractor',
    'roi_head.bbox_head',
    'roi_head.mask_head',
    'head',
)


@HOOKS.register_module()
class SeedHook(Hook):
    """Draws the same random numbers as ExactResumeHook."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        seed_by('iteration', runner.seed, 0, runner.iter)


def third_iteration(runner, monkeypatch):
    """Train; return waits and calls in iteration 3, and what is logged."""
    run_iter = EpochBasedTrainLoop.run_iter
    waits, calls = Counter(), Counter()

    def recorded(loop, index, batch):
        if index != 2:
            return run_iter(loop, index, batch)
        models = dict(student=runner.model)
        for hook in runner.hooks:
            if isinstance(hook, DistillHook):
                (teacher,) = hook.distiller.teachers
                models['teacher'] = teacher.model
        for role, model in models.items():
            for name, module in model.named_modules():
                if name in PARTS:
                    module.register_forward_hook(
                        lambda *_, key=(role, name): calls.update([key])
                    )
        with Recorder() as seen:
            run_iter(loop, index, batch)
        waits.update(seen.waits)

    with monkeypatch.context() as patch:
        patch.setattr(EpochBasedTrainLoop, 'run_iter', recorded)
        runner.train()
    return waits, calls, set(runner.message_hub.log_scalars)


def compare(package, small, tmp_path, monkeypatch, numbers, **kwargs):
    """Waits of a step alone and distilled, and calls of the latter."""
    teacher = small.save_teacher(
        tmp_path / 't.pth', width=16, **kwargs.pop('teacher', {}), **OWN_INPUT
    )
    hook = package.hook_cfg(
        dict(teacher, classes=OTHER_ORDER),
        losses=LOSSES,
        on_nonfinite='skip',
        tap=kwargs.pop('tap', None),
    )
    kwargs.update(
        # Both then see the same weights.
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.0)),
        val_dataloader=None,
        val_cfg=None,
        val_evaluator=None,
        train_dataloader=dict(
            batch_size=2,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=kwargs.pop('dataset'),
            collate_fn=dict(type='pseudo_collate'),
        ),
    )
    alone, _, few = third_iteration(
        package.make_runner(tmp_path / 'a', [dict(type='SeedHook')], **kwargs),
        monkeypatch,
    )
    distilled, calls, many = third_iteration(
        package.make_runner(
            tmp_path / 'b', [hook, dict(type='ExactResumeHook')], **kwargs
        ),
        monkeypatch,
    )
    assert alone['_local_scalar_dense'] >= 1
    # MMEngine reads what is logged, after it has waited for the task's loss.
    more = {name.removeprefix('train/') for name in many - few}
    assert more - {'loss_cls'} == numbers
    distilled.subtract(_local_scalar_dense=len(more))
    return alone, distilled, calls


@pytest.mark.slow
@pytest.mark.parametrize('mask', [False, True], ids=['faster', 'mask'])
def test_detector(tmp_path, monkeypatch, mask):
    alone, distilled, calls = compare(
        detector,
        tiny,
        tmp_path,
        monkeypatch,
        NUMBERS | FOREGROUND,
        tap=dict(type='RoIHeadTap', background_weight=0.5),
        teacher=dict(mask=mask),
        mask=mask,
        dataset=dict(type='Boxes', length=6, mask=mask),
    )
    # MMDetection's RoI extractor looks for the RoIs of each level.
    model = tiny.build_detector().eval()
    with Recorder() as bare:
        model.roi_head._bbox_forward(
            model.extract_feat(torch.rand(1, 3, 64, 64)),
            torch.tensor([[0.0, 4.0, 4.0, 40.0, 40.0]]),
        )
    assert bare.waits == Counter(nonzero=4)
    assert +distilled == alone + bare.waits
    assert calls == {
        ('student', name): 1
        for name in PARTS[:-1]
        if mask or 'mask' not in name
    } | {
        ('teacher', name): 1
        for name in ('backbone', 'neck', PARTS[3], PARTS[4])
    }


def test_classifier(tmp_path, monkeypatch):
    alone, distilled, calls = compare(
        classifier,
        tiny_cls,
        tmp_path,
        monkeypatch,
        NUMBERS,
        dataset=dict(type='Pictures', length=6),
    )
    assert +distilled == alone
    assert calls == {
        (role, name): 1
        for role in ('student', 'teacher')
        for name in ('backbone', 'neck', 'head')
    }


def test_recorder_finds_what_waits():
    x = torch.arange(4.0)
    with Recorder() as seen:
        x[x > 1].sum().item()
        x[x > 1] = 0
        bool(x.sum() > 0)
        torch.empty(4, device='meta').copy_(x)
        x.to('meta')[torch.tensor([0])]
        x[torch.tensor([0])] + x.double()
    assert seen.waits == {
        'index': 2,
        'index_put_': 1,
        '_local_scalar_dense': 2,
        'copy_': 1,
        '_to_copy': 1,
    }


@pytest.mark.parametrize('teachers', [1, 2])
def test_nothing_is_read_or_copied(tmp_path, monkeypatch, teachers):
    # There is none on this device.
    monkeypatch.setattr(torch, 'autocast', lambda *_, **__: nullcontext())
    saved = tiny_cls.save_teacher(tmp_path / 't.pth', **OWN_INPUT)
    cfg = classifier.hook_cfg(
        [dict(saved, classes=OTHER_ORDER)] * teachers,
        losses=LOSSES,
        on_nonfinite='skip',
    )
    hook = HOOKS.build(cfg)
    student = tiny_cls.build_classifier().train()
    student.backbone.to('meta')
    classifier.connect(hook, student)
    images = torch.empty(4, 3, 16, 16, device='meta')
    call = dict(
        inputs=images, data_samples=tiny_cls.batch(0, 1, 2, 3)['data_samples']
    )
    logits = torch.empty(4, 3, device='meta', requires_grad=True)
    labels = torch.empty(4, dtype=torch.int64, device='meta')
    tap = hook.distiller.taps[0]
    for _ in range(2):  # the first step may copy
        tap._loss_args = logits, labels
        with Recorder() as seen:
            hook.distiller.show(student, (), dict(call, mode='loss'))
            found = hook.distiller.add(
                student, (), dict(call, mode='loss'), {}
            )
            sum(found[name] for name in LOSSES).backward()
    assert set(found) == NUMBERS
    assert seen.ops['convolution'] > 5 * teachers
    assert not seen.waits


def test_tap_reads_and_copies_nothing():
    tap = RoIHeadTap(background_weight=0.5)
    record = RoIRecord.__new__(RoIRecord)
    tap._records, record._stage = [record], 0
    record.clear()
    module = torch.nn.Identity().train()
    module.ignore_index = 255
    maps, rois = torch.empty(2, 8, 4, 4, device='meta'), torch.empty(6, 5)
    logits = torch.empty(6, 4, device='meta', requires_grad=True)
    labels = torch.empty(6, dtype=torch.int64)
    with Recorder() as seen:
        record._on_extract(module, ([maps], rois.to('meta')), {})
        record._on_head(module, (), (logits, None))
        record._on_loss(module, (logits, labels.to('meta')), {})
        reading = tap.take(None)
    assert reading.weights.device.type == 'meta'
    assert seen.waits == {'_to_copy': 2}  # those of the test itself
