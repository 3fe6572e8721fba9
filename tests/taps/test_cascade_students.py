"""A cascade as the student: one reading per stage."""

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from torch import nn

from mmkd_plugin.distill import Distiller
from mmkd_plugin.losses import BoxL1Loss, KDLoss
from mmkd_plugin.taps import RoIBoxTap, RoIHeadTap, Stage
from mmkd_plugin.teachers.teacher import Teacher
from tests.helpers import tiny
from tests.helpers.detector_runs import hook_cfg, make_runner
from tests.helpers.teachers import Shown

K = len(tiny.CLASSES)
FACTORS = [1, 0.5, 0.25]
KD = dict(type='KDLoss', tau=1.0)


def cascade(seed, mask=False, stages=3, **changes):
    """A cascade whose predictions differ clearly between RoIs and stages."""
    model = tiny.build_detector(seed, mask=mask, stages=stages, **changes)
    generator = torch.Generator().manual_seed(seed)
    for head in model.roi_head.bbox_head:
        for layer in (head.fc_cls, head.fc_reg):
            layer.weight.data.normal_(0, 0.3, generator=generator)
    return model


@pytest.fixture
def student():
    return cascade(0).train()


@pytest.fixture
def teacher():
    return cascade(1).eval()


def listen(student):
    """Keep the arguments of the `loss` of each box head, and the maps."""
    seen = [{} for _ in student.roi_head.bbox_head]
    names = ('logits', 'deltas', 'rois', 'labels', 'weights', 'targets')
    for head, own in zip(student.roi_head.bbox_head, seen):

        def loss(*args, original=head.loss, own=own, **kwargs):
            own.update(zip(names, (*args, *kwargs.values())))
            return original(*args, **kwargs)

        head.loss = loss
        student.neck.register_forward_hook(
            lambda module, args, output, own=own: own.update(maps=output)
        )
    return seen


def step(tap, student, teacher, mask=False, data=None):
    """What the box heads were trained on, and the teacher that saw it."""
    tap.refuse('student', student)
    tap.refuse('teacher', teacher)
    seen = listen(student)
    tap.attach(student, teacher)
    data = data or tiny.batch(0, 1, mask=mask)
    data = student.data_preprocessor(data, True)
    student(**data, mode='loss')
    return seen, Shown(teacher, data['inputs'])


def head_of(model, maps, rois, stage):
    """Logits and deltas by the modules of a stage, one after the other."""
    head = model.roi_head
    cut = head.bbox_roi_extractor[stage]([m.float() for m in maps[:4]], rois)
    return head.bbox_head[stage](cut)


@pytest.mark.parametrize('mask', [False, True])
def test_logits_of_each_stage(mask):
    student = cascade(0, mask).train()
    teacher = cascade(1, mask).eval()
    if mask:
        assert student.roi_head.share_roi_extractor
    tap = RoIHeadTap()
    seen, shown = step(tap, student, teacher, mask)
    stages = tap.take(shown)
    assert [stage.name for stage in stages] == ['s0', 's1', 's2']
    assert [stage.factor for stage in stages] == FACTORS
    for number, (stage, own) in enumerate(zip(stages, seen)):
        reading = stage.reading
        assert reading.student is own['logits']
        assert torch.equal(reading.labels, own['labels'])
        assert torch.equal(reading.weights, own['weights'])
        with torch.no_grad():
            wanted, _ = head_of(teacher, shown.features, own['rois'], number)
        torch.testing.assert_close(reading.teacher, wanted)
        assert not reading.teacher.requires_grad
        assert (own['labels'] < K).any()
    # The RoIs of a stage are those that the one before refined.
    assert not torch.equal(seen[0]['rois'][:9], seen[1]['rois'][:9])


@pytest.mark.parametrize('crossed', [False, True])
@pytest.mark.parametrize('rows', ['label', 'teacher', 'confidence'])
def test_deltas_of_each_stage(student, teacher, rows, crossed):
    """In the coding of the student's head of that stage."""
    other = [(0.3, 0.1, 0.2, 0.1), (0.1, 0.2, 0.3, 0.4), (0.2, 0.2, 0.1, 0.3)]
    for head, stds in zip(teacher.roi_head.bbox_head, other):
        head.bbox_coder.stds = stds
    tap = RoIBoxTap(rows, crossed=crossed)
    seen, shown = step(tap, student, teacher)
    stages = tap.take(shown)
    assert [stage.factor for stage in stages] == FACTORS
    for number, (stage, own) in enumerate(zip(stages, seen)):
        reading = stage.reading
        ratio = torch.tensor(other[number]) / torch.tensor(tiny.STDS[number])
        with torch.no_grad():
            logits, deltas = head_of(
                teacher, shown.features, own['rois'], number
            )
            wanted = own['deltas']
            if crossed:
                _, wanted = head_of(teacher, own['maps'], own['rois'], number)
                wanted = wanted * ratio
        torch.testing.assert_close(reading.teacher, deltas * ratio)
        torch.testing.assert_close(reading.student.detach(), wanted)
        positive = own['labels'] < K
        weights = dict(
            label=positive,
            teacher=logits.argmax(1) < K,
            confidence=logits.softmax(1)[:, :K].max(1).values,
        )[rows]
        torch.testing.assert_close(reading.weights, weights.float())
        if rows == 'label':
            torch.testing.assert_close(
                reading.labels[positive], own['targets'][positive]
            )
        assert reading.student.requires_grad


def test_crossed_logits(student, teacher):
    tap = RoIHeadTap(crossed=True)
    seen, shown = step(tap, student, teacher)
    for number, (stage, own) in enumerate(zip(tap.take(shown), seen)):
        with torch.no_grad():
            wanted, _ = head_of(teacher, own['maps'], own['rois'], number)
        torch.testing.assert_close(stage.reading.student.detach(), wanted)


def test_crossing_is_checked_for_each_stage(student, teacher):
    teacher.roi_head.bbox_roi_extractor[2].featmap_strides = [8, 16, 32, 64]
    with pytest.raises(TypeError, match='`featmap_strides` differ'):
        RoIHeadTap(crossed=True).attach(student, teacher)


@pytest.mark.parametrize('stages', [0, 2])
def test_first_stage_of_another_teacher(student, stages):
    teacher = tiny.build_detector(1, stages=stages).eval()
    tap = RoIHeadTap()
    seen, shown = step(tap, student, teacher)
    (stage,) = tap.take(shown)
    assert stage[:2] == ('s0', 1)
    assert stage.reading.student is seen[0]['logits']
    assert 'on the first of the student' in tap.reads(teacher)


def test_stage_without_weight_is_left_out(student, teacher):
    student.roi_head.stage_loss_weights = [1, 0, 0.5]
    tap = RoIHeadTap()
    seen, shown = step(tap, student, teacher)
    found = {stage.name: stage for stage in tap.take(shown)}
    assert set(found) == {'s0', 's2'}
    assert found['s2'].reading.student is seen[2]['logits']


@pytest.mark.parametrize('kind', [RoIHeadTap, RoIBoxTap])
def test_no_rois(student, teacher, kind):
    """MMDetection then ends the cascade; all stages are still given."""
    student.train_cfg.rpn_proposal.min_bbox_size = 1e6
    data = tiny.batch(0)
    for sample in data['data_samples']:
        sample.gt_instances = sample.gt_instances[:0]
    tap = kind()
    seen, shown = step(tap, student, teacher, data=data)
    assert seen[0] and 'logits' not in seen[1]
    stages = tap.take(shown)
    assert [stage.name for stage in stages] == ['s0', 's1', 's2']
    for stage in stages:
        assert len(stage.reading.student) == 0
        assert stage.reading.student.requires_grad


def test_stage_that_does_not_run_is_no_silence(student, teacher):
    tap = RoIHeadTap()
    student.roi_head.num_stages = 2
    _, shown = step(tap, student, teacher)
    message = 'stage 2 of the student did not run, although that of stage 1'
    with pytest.raises(RuntimeError, match=message):
        tap.take(shown)


def test_nothing_stays(student, teacher):
    tap = RoIHeadTap()
    step(tap, student, teacher)
    assert len(tap.take(None)) == 3
    assert tap.take(None) is None
    student.neck._forward_hooks.clear()
    tap.detach()
    assert not any(
        m._forward_pre_hooks or m._forward_hooks for m in student.modules()
    )
    assert tap.reads(teacher) == "its 3 box heads on the student's 3 stages"


@pytest.mark.parametrize('role', ['student', 'teacher'])
def test_each_head_is_checked(student, role):
    student.roi_head.bbox_head[2].loss_cls.use_sigmoid = True
    with pytest.raises(TypeError, match='use_sigmoid=False'):
        RoIHeadTap().refuse(role, student)
    student.roi_head.bbox_head[2].loss_cls.use_sigmoid = False
    student.roi_head.bbox_head[1].bbox_coder = nn.Identity()
    with pytest.raises(TypeError, match='codes boxes by Identity'):
        RoIBoxTap().refuse(role, student)


@pytest.mark.parametrize('semantic', [False, True])
def test_hybrid_task_cascade(semantic):
    """Its mask heads get other RoIs; its teacher is a Cascade Mask R-CNN."""
    cfg = tiny.detector_cfg(mask=True, stages=3)
    cfg.type = 'HybridTaskCascade'
    cfg.roi_head.type = 'HybridTaskCascadeRoIHead'
    cfg.roi_head.mask_head.update(type='HTCMaskHead', with_conv_res=False)
    cfg.roi_head.mask_info_flow = False
    if semantic:
        cfg.roi_head.update(
            semantic_roi_extractor=dict(
                cfg.roi_head.bbox_roi_extractor, featmap_strides=[8]
            ),
            semantic_head=dict(
                type='FusedSemanticHead',
                num_ins=5,
                fusion_level=1,
                num_convs=1,
                in_channels=16,
                conv_out_channels=16,
                num_classes=3,
            ),
        )
    with DefaultScope.overwrite_default_scope('mmdet'):
        student = MODELS.build(cfg).train()
    student.init_weights()
    data = tiny.batch(0, mask=True)
    classes = torch.zeros(1, 96, 128, dtype=torch.uint8)
    data['data_samples'][0].gt_sem_seg = PixelData(sem_seg=classes)
    tap = RoIHeadTap()
    teacher = cascade(1).eval()
    seen, shown = step(tap, student, teacher, data=data)
    for number, (stage, own) in enumerate(zip(tap.take(shown), seen)):
        assert stage.reading.student is own['logits']
        with torch.no_grad():
            wanted, _ = head_of(teacher, shown.features, own['rois'], number)
        torch.testing.assert_close(stage.reading.teacher, wanted)


# In a step of distillation.


def attached(student, tmp_path, losses, **changes):
    other = tiny.save_teacher(
        tmp_path / 't.pth', width=16, **{'stages': 3, **changes}
    )
    distiller = Distiller(losses)
    teacher = Teacher(**other)
    distiller.attach(student, [teacher], tiny.CLASSES)
    return distiller, teacher.model


def losses_of(student, data=None):
    data = student.data_preprocessor(data or tiny.batch(0, 1), True)
    return student(**data, mode='loss'), data['inputs']


def test_term_is_the_weighted_sum_over_the_stages(student, tmp_path):
    losses = dict(loss_kd=KD, loss_box=dict(type='BoxL1Loss'))
    distiller, teacher = attached(student, tmp_path, losses)
    seen = listen(student)
    found, inputs = losses_of(student)
    with torch.no_grad():
        maps = teacher.extract_feat(inputs)
        kd = box = 0
        for number, (factor, own) in enumerate(zip(FACTORS, seen)):
            logits, deltas = head_of(teacher, maps, own['rois'], number)
            kd += factor * KDLoss(tau=1.0)(
                own['logits'], logits, own['labels'], own['weights']
            )
            weights = (logits.argmax(1) < K).float()
            box += factor * BoxL1Loss()(own['deltas'], deltas, None, weights)
    torch.testing.assert_close(found['loss_kd'].detach(), kd)
    torch.testing.assert_close(found['loss_box'].detach(), box)
    # Of the first stage, whose RoIs are the proposals.
    with torch.no_grad():
        logits, _ = head_of(teacher, maps, seen[0]['rois'], 0)
    same = logits.argmax(1) == seen[0]['logits'].argmax(1)
    percent = 100 * same.float().mean().item()
    assert found['kd_agreement'] == pytest.approx(percent)
    (found['loss_kd'] + found['loss_box']).backward()
    for head in student.roi_head.bbox_head:
        assert head.fc_cls.weight.grad.abs().sum() > 0
    distiller.check({x: found[x].item() for x in losses}, 1)


class BadLater(nn.Module):
    """A loss of logits that is bad on later stages."""

    def __init__(self, bad):
        super().__init__()
        self.bad = bad
        self.calls = 0

    def forward(self, student, teacher, labels, weights=None):
        self.calls += 1
        if self.calls % 3 == 2:
            return self.bad(student)
        return student.square().mean()


def test_stage_without_gradient_stops_the_first_step(student, tmp_path):
    loss = BadLater(lambda student: (student * 0).sum())
    distiller, _ = attached(student, tmp_path, dict(loss_bad=loss))
    found, _ = losses_of(student)
    found['loss_bad'].backward()
    message = (
        'loss_bad is .* at the first step .* gradient that loss_bad of s1 '
        r'gives .* is 0\.0, so'
    )
    with pytest.raises(RuntimeError, match=message):
        distiller.check(dict(loss_bad=found['loss_bad'].item()), 1)


def test_nonfinite_stage(student, tmp_path):
    loss = BadLater(lambda student: student.sum() * float('nan'))
    distiller, _ = attached(student, tmp_path, dict(loss_bad=loss))
    found, _ = losses_of(student)
    message = (
        'loss_bad is nan at iteration 7 on rank 0, in loss_bad of s0 the '
        r"student's values lie in .*, in loss_bad of s1 the student's"
    )
    with pytest.raises(RuntimeError, match=message):
        distiller.check(dict(loss_bad=found['loss_bad'].item()), 7)


def test_nonfinite_stage_is_skipped_alone(student, tmp_path):
    loss = BadLater(lambda student: student.sum() * float('nan'))
    distiller, _ = attached(student, tmp_path, dict(loss_bad=loss))
    distiller.guard.skip = True
    seen = listen(student)
    found, _ = losses_of(student)
    kept = [0, 2]
    wanted = sum(FACTORS[i] * seen[i]['logits'].square().mean() for i in kept)
    torch.testing.assert_close(found['loss_bad'], wanted)
    assert found['kd_skipped'] == pytest.approx(100 / 3)
    found['loss_bad'].backward()
    assert student.neck.fpn_convs[0].conv.weight.grad.isfinite().all()


def test_stage_without_samples(student, tmp_path, monkeypatch):
    from mmkd_plugin.distill import term_guard

    monkeypatch.setattr(term_guard, 'PATIENCE', 1)
    distiller, _ = attached(student, tmp_path, dict(loss_kd=KD))
    (tap,) = distiller.taps
    take = tap.take

    def without(teacher):
        *others, last = take(teacher)
        empty = last.reading._replace(
            weights=torch.zeros_like(last.reading.weights)
        )
        return [*others, Stage('s2', 0.25, empty)]

    tap.take = without
    found, _ = losses_of(student)
    with pytest.raises(RuntimeError, match='No sample reached loss_kd of s2'):
        distiller.check(dict(loss_kd=found['loss_kd'].item()), 1)


def test_no_rois_give_an_attached_zero(student, tmp_path):
    losses = dict(
        loss_kd=KD, loss_ckd=dict(type='CKDLoss', tau=1.0, loss_weight=1.0)
    )
    attached(student, tmp_path, losses)
    student.train_cfg.rpn_proposal.min_bbox_size = 1e6
    data = tiny.batch(0)
    for sample in data['data_samples']:
        sample.gt_instances = sample.gt_instances[:0]
    found, _ = losses_of(student, data)
    for name in losses:
        assert found[name] == 0 and found[name].requires_grad
    assert 'kd_agreement' not in found


def test_factor_zero_asks_no_teacher(student, tmp_path):
    distiller, _ = attached(student, tmp_path, dict(loss_kd=KD))
    distiller.factor = 0.0
    distiller.teachers[0].model = None
    found, _ = losses_of(student)
    assert found['loss_kd'] == 0 and found['loss_kd'].requires_grad


def test_several_teachers(student, tmp_path):
    """Their probabilities are averaged on each stage."""
    cfgs = [
        tiny.save_teacher(tmp_path / f'{seed}.pth', seed=seed, stages=3)
        for seed in (5, 6)
    ]
    teachers = [Teacher(**cfg) for cfg in cfgs]
    distiller = Distiller(dict(loss_kd=KD))
    distiller.attach(student, teachers, tiny.CLASSES)
    readings = []
    distiller.losses['loss_kd'].register_forward_pre_hook(
        lambda module, args: readings.append(args)
    )
    seen = listen(student)
    _, inputs = losses_of(student)
    with torch.no_grad():
        for number, own in enumerate(seen):
            mean = 0
            for teacher in teachers:
                maps = teacher.model.extract_feat(inputs)
                logits, _ = head_of(teacher.model, maps, own['rois'], number)
                mean = mean + logits.softmax(1) / 2
            torch.testing.assert_close(readings[number][1].softmax(1), mean)


def test_teachers_of_other_stages(student, tmp_path):
    teachers = [
        Teacher(**tiny.save_teacher(tmp_path / f'{n}.pth', stages=n))
        for n in (3, 0)
    ]
    distiller = Distiller(dict(loss_kd=KD))
    distiller.attach(student, teachers, tiny.CLASSES)
    with pytest.raises(RuntimeError, match='has no box head for stage 1 of'):
        losses_of(student)


@pytest.mark.slow
@pytest.mark.parametrize('mask', [False, True])
def test_training(tmp_path, mask):
    """As of a Faster R-CNN, and what is saved is the plain cascade."""
    teacher = tiny.save_teacher(
        tmp_path / 'teacher.pth', width=16, mask=mask, stages=3
    )
    runner = make_runner(
        tmp_path,
        [hook_cfg(teacher)],
        mask=mask,
        model=tiny.detector_cfg(mask=mask, stages=3),
    )
    runner.train()
    scalars = runner.message_hub.log_scalars
    for name in ('loss_kd', 'loss_ckd', 'kd_agreement', 'kd_teacher_acc'):
        values, _ = scalars[f'train/{name}'].data
        assert len(values) == 4 and max(values) > 0
    assert ('train/s2.loss_mask' in scalars) == mask
    total = sum(
        values.data[0][-1] for key, values in scalars.items() if 'loss_' in key
    )
    assert scalars['train/loss'].data[0][-1] == pytest.approx(total, rel=1e-5)
    saved = torch.load(tmp_path / 'work/epoch_1.pth', weights_only=False)
    plain = tiny.build_detector(mask=mask, stages=3)
    plain.load_state_dict(saved['state_dict'], strict=True)
