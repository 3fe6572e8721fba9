"""tools/analysis_tools/inspect_config.py: what a config would distil."""

import inspect_config
import pytest
import torch
from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn

from tests.helpers import tiny, tiny_cls, tiny_vit
from tests.helpers.tool_runs import hook_cfg, run, write_config

SIZE = ['--size', '128', '96']


@pytest.fixture
def ask(tmp_path, monkeypatch, capsys):
    """Inspect a config; return the exit code or message, and the output."""

    def ask(hooks, *options, classifier=False, **changes):
        config = write_config(tmp_path, hooks, classifier, **changes)
        code, out = run(monkeypatch, capsys, inspect_config, config, *options)
        # It leaves nothing behind.
        assert not (tmp_path / 'config_work').exists()
        return code, out

    return ask


def row(out, name):
    """The cells of a line of a table."""
    (line,) = [x for x in out.splitlines() if x.startswith(f'| {name} |')]
    return line.strip('| ').split(' | ')[1:]


def test_detector(tmp_path, ask):
    teacher = tiny.save_teacher(tmp_path / 'teacher.pth', width=16)
    hook = hook_cfg({**teacher, 'classes': tiny.CLASSES}, warmup=2)
    code, out = ask([hook], *SIZE, '--modules')
    assert code == 0
    assert out.startswith('# ') and out.endswith('train?\n\nYes.\n')
    assert row(out, 'model') == ['FasterRCNN', 'FasterRCNN']
    assert row(out, 'weights') == ['random', teacher['checkpoint']]
    student, other = (float(x.split()[0]) for x in row(out, 'parameters'))
    count = sum(p.numel() for p in tiny.build_detector().parameters())
    assert student == pytest.approx(count / 1e6, abs=1e-3)
    assert other > 2 * student
    macs = row(out, 'multiply-adds of inference, per image')
    assert 0 < float(macs[0].split()[0]) < float(macs[1].split()[0])
    assert 'Run on noise, inputs (2, 3, 96, 128).' in out
    assert (
        out.count('* Tap: RoIHeadTap(background_weight=1.0, crossed=False)')
        == 2
    )
    assert '* Labels (64,), weights (64,)' in out
    assert '* Logits: student (64, 4), teacher (64, 4), as' in out
    assert '* loss_rld: RLDLoss(alpha=1.0, beta=2.0, ' in out
    assert '* loss_ckd: CKDLoss(tau=1.0, ' in out
    assert 'growing linearly over the first 2 of them' in out
    assert '* Classes: the same, in the same order' in out
    assert "* Images: the teacher's preprocessing is the student's" in out
    student, teacher = out.split('## Modules of the teacher')
    for part, stage in ((student, 16), (teacher, 32)):
        (found,) = row(part, 'backbone.layer2')[1:]
        assert found == f'(2, {stage}, 12, 16)'
        # The boxes are class-agnostic: 4 logits and 4 offsets.
        assert row(part, 'roi_head.bbox_head') == [
            'Shared2FCBBoxHead', '(64, 4)'
        ]  # fmt: skip
    # The student's RPN runs, the teacher's does not.
    assert row(student, 'rpn_head.rpn_conv')[0] == 'Conv2d'
    assert '| rpn_head.rpn_conv |' not in teacher
    assert 'rpn_head.rpn_conv' in teacher.split('Not called as modules')[1]


BY_LABEL = dict(type='RoIBoxTap', rows='label')
REVIEWKD = dict(
    type='ReviewKDLoss',
    student_channels=[16] * 5,
    teacher_channels=[16] * 5,
    mid_channels=4,
    loss_weight=2.0,
)


def test_terms_of_features_and_boxes(tmp_path, ask):
    """Each with its own tap, what it was given, and its pull."""
    teacher = tiny.save_teacher(tmp_path / 'teacher.pth', width=16)
    losses = dict(
        loss_box=dict(type='BoxL1Loss', loss_weight=0.5, tap=BY_LABEL),
        loss_reviewkd=REVIEWKD,
        loss_kd=dict(
            type='KDLoss', tau=1.0, tap=dict(type='RoIHeadTap', crossed=True)
        ),
    )
    hook = hook_cfg({**teacher, 'classes': tiny.CLASSES}, losses=losses)
    code, out = ask([hook], *SIZE)
    assert (code, out.splitlines()[-1]) == (0, 'Yes.')
    told = out.split('## DistillHook')[1].split('* Schedule')[0]
    box, reviewkd, kd = (x.split('\n  * ') for x in told.split('\n* ')[1:])
    assert box[0].startswith('loss_box: BoxL1Loss(loss_weight=0.5')
    assert box[1:5] == [
        "Tap: RoIBoxTap(rows='label', crossed=False)",
        'Of the teacher: its box head',
        'Boxes: student (64, 4), teacher (64, 4), as passed to the loss',
        'Labels (64, 4), weights (64,)',
    ]
    assert box[5] == 'Trained parameters: none'
    # As much as its weight: both are distances of the foreground.
    assert box[6].startswith('Pull: 0.5 times that of `loss_bbox`; value ')
    # Without the layers.
    assert reviewkd[0].startswith('loss_reviewkd: ReviewKDLoss(')
    assert 'Conv2d' not in out
    sizes = [(24, 32), (12, 16), (6, 8), (3, 4), (2, 2)]
    shapes = '; '.join(
        f'{n} student (2, 16, {h}, {w}), teacher (2, 16, {h}, {w})'
        for n, (h, w) in enumerate(sizes)
    )
    assert reviewkd[2:5] == [
        'Of the teacher: its neck',
        f'Features: {shapes}, as passed to the loss',
        'Labels (3, 4), (3, 4), weights none',
    ]
    count = sum(p.numel() for p in MODELS.build(REVIEWKD).parameters())
    assert reviewkd[5].startswith(
        f'Trained parameters: {count} in connectors of the loss; '
    )
    assert ' times that of the task losses; value ' in reviewkd[6]
    assert kd[1].endswith('crossed=True)')
    assert ' times that of the task losses; value ' in kd[6]


def test_losses_that_the_optimizer_cannot_take(tmp_path, ask):
    teacher = tiny.save_teacher(tmp_path / 'teacher.pth', width=16)
    hook = hook_cfg(
        {**teacher, 'classes': tiny.CLASSES},
        losses=dict(loss_reviewkd=REVIEWKD),
    )
    optimizer = dict(optimizer=dict(type='SGD', lr=0.01))
    code, out = ask(
        [hook],
        *SIZE,
        optim_wrapper=dict(optimizer, constructor='OnlyBackbone'),
    )
    assert code == 1
    assert 'parameters of loss_reviewkd are in no parameter group' in out


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class OnlyBackbone(DefaultOptimWrapperConstructor):
    def __call__(self, model):
        return super().__call__(model.backbone)


def test_missing_checkpoint_leaves_the_shapes(ask):
    teacher = dict(
        config=dict(default_scope='mmdet', model=tiny.detector_cfg(mask=True)),
        checkpoint='no.pth',
    )
    code, out = ask([hook_cfg(teacher)], *SIZE)
    assert code == 1
    assert row(out, 'model') == ['FasterRCNN', 'MaskRCNN']
    assert row(out, 'weights')[1] == '**not loaded**: no.pth; random here'
    assert '* Logits: student (64, 4), teacher (64, 4)' in out
    assert (
        '* Classes: 3 on both sides, assumed to be in the same order: ' in out
    )
    assert out.endswith(
        "No:\n\n1. The teacher's checkpoint 'no.pth' was not found: give the "
        'path or the URL of an existing file.\n'
    )


def test_all_that_is_wrong_is_said(ask):
    """Data, first weights and teacher, in the order of the training."""
    model = tiny.detector_cfg(num_classes=2)
    model.backbone.init_cfg = dict(type='Pretrained', checkpoint='no/r18.pth')
    loader = dict(
        batch_size=1,
        sampler=dict(type='DefaultSampler', shuffle=True),
        dataset=dict(
            type='CocoDataset',
            data_root='no/such',
            ann_file='a.json',
            metainfo=dict(classes=('cat', 'emu')),
            pipeline=[dict(type='Resize', scale=(64, 48))],
        ),
    )
    teacher = dict(
        config=dict(default_scope='mmdet', model=tiny.detector_cfg()),
        checkpoint='no.pth',
        classes=tiny.CLASSES,
    )
    code, out = ask([hook_cfg(teacher)], model=model, train_dataloader=loader)
    assert code == 1
    # Of a pipeline that cannot be run, and padded.
    assert 'Run on noise, inputs (2, 3, 64, 64).' in out
    assert row(out, 'weights')[0] == 'no/r18.pth'
    assert '* Logits: none reached the loss in this run' in out
    assert '* Classes: **the teacher does not know** emu' in out
    said = out.split('No:\n\n')[1].splitlines()
    assert len(said) == 4
    for number, (line, words) in enumerate(
        zip(
            said,
            (
                "The folder 'no/such' of the train data was not found",
                "The first weights 'no/r18.pth' of `model.backbone.init_cfg`",
                "The teacher's checkpoint 'no.pth' was not found",
                '1 of the 2 classes of the student are not among the 3 of the',
            ),
        ),
        1,
    ):
        assert line.startswith(f'{number}. {words}')


def test_classifier_on_its_data(tmp_path, ask):
    teacher = tiny_cls.save_teacher(
        tmp_path / 'teacher.pth',
        num_classes=4,
        to_rgb=True,
        classes=('owl', 'emu', 'cat', 'dog'),
    )
    hook = dict(type='RLDHook', teacher=teacher, begin=2)
    code, out = ask([hook], '--data', classifier=True)
    assert code == 0
    assert 'Run on the first batch of the data, inputs (4, 3, 16, 16)' in out
    assert '* Logits: student (4, 3), teacher (4, 3)' in out
    assert '* Tap: ClsHeadTap()' in out
    assert (
        '* Classes: matched by name; the logits of cat, dog, owl are columns '
        "2, 3, 0 of the teacher's 4" in out
    )
    assert "converted to the teacher's preprocessing: red and blue sw" in out
    assert row(out, 'red and blue swapped') == ['no', 'yes']
    # Of two epochs.
    assert '* Schedule: **never**: `begin` is 2, and the training ends' in out


def test_what_only_the_forward_shows(tmp_path, ask):
    """Mixed labels, with which RLD cannot teach."""
    teacher = tiny_cls.save_teacher(tmp_path / 'teacher.pth', width=8)
    model = tiny_cls.classifier_cfg()
    model.train_cfg = dict(augments=[dict(type='Mixup', alpha=1.0)])
    code, out = ask(
        [hook_cfg(teacher)], '--size', '16', '16', classifier=True, model=model
    )
    assert code == 1
    assert '1. Expected argument `labels` to be class ids of type' in out


def test_two_hooks_that_clash(ask):
    """And whose teacher is missing twice, which is said once."""
    config = dict(default_scope='mmpretrain', model=tiny_cls.classifier_cfg())
    teacher = dict(config=config, checkpoint='no.pth')
    one = hook_cfg(teacher, losses=dict(loss_kd=dict(type='KDLoss', tau=1.0)))
    two = dict(type='CKDHook', teacher=teacher)
    code, out = ask([one, two], '--data', classifier=True)
    assert code == 1
    header = '| | student | teacher of DistillHook | teacher of CKDHook |'
    assert header in out
    assert out.count('* Logits: student (4, 3), teacher (4, 3)') == 2
    assert "1. The teacher's checkpoint 'no.pth' was not found" in out
    assert "2. The model already logs 'kd_agreement': give" in out


def test_teacher_of_another_kind(tmp_path, ask):
    teacher = tiny.save_teacher(tmp_path / 'teacher.pth')
    code, out = ask([hook_cfg(teacher)], '--data', classifier=True)
    assert code == 1
    assert '1. The teacher FasterRCNN has no `head` that classifies' in out
    assert row(out, 'model') == ['ImageClassifier', 'FasterRCNN']
    assert '* Classes: **not compared**' in out


def test_config_of_the_teacher_that_is_missing(ask):
    teacher = dict(config='no/such.py', checkpoint='no.pth')
    code, out = ask([hook_cfg(teacher)], '--data', classifier=True)
    assert code == 1
    assert "1. The teacher's config 'no/such.py' was not found" in out
    assert out.count('no/such.py was') + out.count("such.py' was") == 1
    assert row(out, 'model') == ['ImageClassifier']


def test_teacher_to_be_evaluated_without_validation(tmp_path, ask):
    teacher = tiny_cls.save_teacher(tmp_path / 'teacher.pth', width=8)
    hook = hook_cfg(teacher, min_metric={'accuracy/top1': 50})
    code, out = ask([hook], '--data', classifier=True)
    assert code == 1
    assert (
        '1. `evaluate_teacher=True` evaluates the teacher on the validation'
        in out
    )
    assert "`min_metric`: {'accuracy/top1': 50}" in out


def test_config_without_teacher(ask):
    code, out = ask([], '--size', '16', '16', '--modules', classifier=True)
    assert code == 0
    assert 'Nothing is distilled: `custom_hooks` has no distillation' in out
    assert row(out, 'head.fc') == ['Linear', '(2, 3)']
    assert 'Yes.' in out


def test_size_that_nothing_tells(ask):
    code, out = ask([], classifier=True)
    assert not out
    assert code == (
        'error: No transform of the training data names the size of the '
        'images: give --size WIDTH HEIGHT, or run on the real ones with '
        '--data.'
    )


def test_data_that_is_asked_for_and_missing(ask):
    loader = dict(
        batch_size=64,
        sampler=dict(type='DefaultSampler', shuffle=True),
        dataset=dict(type='InMemoryCIFAR100', data_root='no/such'),
    )
    code, _ = ask([], '--data', classifier=True, train_dataloader=loader)
    assert code.startswith("error: CIFAR-100 was not found in 'no/such'")


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.fc = nn.Linear(8, 5)

    def forward(self, inputs, data_samples, mode):
        assert not self.training and not torch.is_grad_enabled()
        assert (len(inputs), len(data_samples), mode) == (1, 1, 'tensor')
        return self.fc(self.conv(inputs).mean((2, 3)))


def test_multiply_adds_are_those_of_one_image():
    data = dict(inputs=torch.ones(2, 3, 6, 7), data_samples=[None, None])
    wanted = 6 * 7 * 8 * 3 * 9 + 8 * 5
    assert inspect_config.count_macs(Net().train(), data) == wanted
    data['inputs'] = torch.ones(2, 4, 6, 7)
    found = inspect_config.count_macs(Net(), data)
    assert found.startswith('not counted (RuntimeError: ')


def test_cascade(tmp_path, ask):
    teacher = tiny.save_teacher(tmp_path / 'teacher.pth', stages=3)
    hook = hook_cfg({**teacher, 'classes': tiny.CLASSES})
    code, out = ask([hook], *SIZE, model=tiny.detector_cfg(stages=3))
    assert code == 0
    read = "* Of the teacher: its 3 box heads on the student's 3 stages"
    assert out.count(read) == 2
    for stage in ('s0', 's1', 's2'):
        assert f'* Logits of stage {stage}: student (64, 4), teacher' in out


def test_classes_that_the_teacher_lacks(tmp_path, ask):
    teacher = tiny.save_teacher(tmp_path / 'teacher.pth')
    teacher.update(classes=('owl', 'x', 'cat'), missing_classes='leave_out')
    code, out = ask([hook_cfg(teacher)], *SIZE)
    assert code == 0
    assert (
        '* Classes: matched by name; 1 of 3 are left out, because the teacher '
        'does not know them: dog\n'
    ) in out
    assert '* Logits: student (64, 3), teacher (64, 3), as passed' in out


def test_vision_transformer_of_another_size(tmp_path, ask):
    """Its weights are the backbone's alone, and its images are resized."""
    teacher = tiny_vit.save_vit(tmp_path / 'vit.pth')
    state = tiny_vit.build_vit().backbone.state_dict()
    torch.save(state, teacher['checkpoint'])
    tap = dict(type='FeatureTap', teacher_modules='backbone', levels=['p4'])
    channels = dict(student_channels=[16], teacher_channels=[tiny_vit.WIDTH])
    loss = dict(type='PKDLoss', loss_weight=1.0, tap=tap, **channels)
    options = dict(part='backbone', input_size=1.0)
    hook = hook_cfg({**teacher, **options}, losses=dict(loss_pkd=loss))
    code, out = ask([hook], *SIZE)
    assert code == 0 and out.endswith('train?\n\nYes.\n')
    assert row(out, 'model') == ['FasterRCNN', 'ImageClassifier']
    assert 'resized, with padding of 0, by `input_size=1.0`' in out


def test_without_the_task_loss(tmp_path, ask):
    teacher = tiny.save_teacher(tmp_path / 'teacher.pth', width=16)
    pkd = dict(type='PKDLoss', loss_weight=1.0)
    for task_loss in (True, False):
        hook = hook_cfg(
            {**teacher, 'classes': tiny.CLASSES},
            losses=dict(loss_pkd=pkd),
            task_loss=task_loss,
        )
        code, out = ask([hook], *SIZE)
        assert (code, out.splitlines()[-1]) == (0, 'Yes.')
        line = "* The student's own losses do not train it"
        assert (line in out) == (not task_loss)
        assert ('times that of the task losses' in out) == task_loss
