"""go_no_go.py: how teacher and student differ on validation images."""

import json
from types import SimpleNamespace

import forecast
import go_no_go
import pytest
import torch
from forecast import Difference
from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder
from mmdet.structures.bbox import bbox_overlaps
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS

from mmkd_plugin.taps import Reading
from tests.helpers import tiny, tiny_cls
from tests.helpers.tool_runs import hook_cfg, run, write_config

STDS = (0.1, 0.1, 0.2, 0.2)


def test_knowledge():
    def logits(choices):
        return torch.nn.functional.one_hot(torch.tensor(choices), 4).float()

    reading = Reading(
        student=logits([0, 1, 2, 3, 0]),
        teacher=logits([0, 0, 1, 3, 1]),
        labels=torch.tensor([0, 0, 1, 0, 1]),
        weights=torch.tensor([1.0, 1, 1, 1, 0]),
    )
    assert go_no_go.knowledge(reading) == dict(
        rows=4, teacher=3 / 4, student=1 / 4, teacher_alone=2 / 4,
        student_alone=0.0,
    )  # fmt: skip


def test_iou_needs_no_rois():
    """Against MMDetection's coder and IoU on RoIs of any place and size."""
    generator = torch.Generator().manual_seed(0)
    student, teacher, truth = torch.randn(3, 50, 4, generator=generator)
    corner = 100 * torch.rand(50, 2, generator=generator)
    size = 5 + 60 * torch.rand(50, 2, generator=generator)
    rois = torch.cat([corner, corner + size], 1)
    weights = (torch.arange(50) < 40).float()
    coder = DeltaXYWHBBoxCoder(target_stds=STDS)
    found = go_no_go.placement(
        Reading(student, teacher, truth, weights),
        SimpleNamespace(means=(0.0,) * 4, stds=STDS),
    )
    boxes = {
        name: coder.decode(rois, deltas)
        for name, deltas in dict(student=student, teacher=teacher).items()
    }
    target = coder.decode(rois, truth)
    for name, wanted in dict(boxes, rois=rois).items():
        iou = bbox_overlaps(wanted, target, is_aligned=True)[:40].mean()
        assert found[name] == pytest.approx(iou.item(), rel=1e-4)


@pytest.mark.parametrize(
    'found, word',
    [
        (Difference(0.01, 0.3, 0.3), 'Nothing'),
        (Difference(0.1, None, None), 'Something may'),
        (Difference(0.1, 0.2, 0.1), 'The crossed head'),
        (Difference(0.1, -0.1, 0.1), 'Logits are not'),
        (Difference(0.1, 0.2, None), 'Logits are likely'),
        (Difference(0.1, 0.0, None), 'Little is likely'),
    ],
)
def test_forecast(found, word):
    sentence = forecast.forecast(found)
    assert sentence.startswith(word)
    assert sentence.endswith('.')


def test_the_cases_are_told():
    header, *rows = forecast.case_rows()
    assert len(rows) == len(forecast.CASES)
    assert all(len(row) == len(header) for row in rows)


@METRICS.register_module()
class Score(BaseMetric):
    """Stands for COCO's: the sum of the scores."""

    default_prefix = 'coco'

    def process(self, data_batch, data_samples):
        for sample in data_samples:
            if 'pred_instances' in sample:
                self.results.append(sample['pred_instances']['scores'].sum())
            else:
                self.results.append(sample['pred_score'].max())

    def compute_metrics(self, results):
        return dict(bbox_mAP=float(sum(results)), top1=50.0)


def config_of(folder, classifier=False, **changes):
    kind = tiny_cls if classifier else tiny
    width = dict(width=8) if classifier else dict(width=16)
    teacher = kind.save_teacher(folder / 'teacher.pth', **width)
    data = dict(type='Pictures' if classifier else 'Boxes', length=6)
    collate = 'default_collate' if classifier else 'pseudo_collate'
    validation = dict(
        val_dataloader=dict(
            batch_size=2,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=data,
            collate_fn=dict(type=collate),
        ),
        val_evaluator=dict(type='Score'),
        val_cfg=dict(),
    )
    return write_config(
        folder, [hook_cfg(teacher)], classifier, **{**validation, **changes}
    )


def weights(folder, classifier=False):
    kind = tiny_cls.build_classifier if classifier else tiny.build_detector
    path = folder / 'student.pth'
    torch.save(kind().state_dict(), path)
    return str(path)


@pytest.mark.slow
@pytest.mark.parametrize('classifier', [False, True])
def test_command(tmp_path, monkeypatch, capsys, classifier):
    code, output = run(
        monkeypatch,
        capsys,
        go_no_go,
        config_of(tmp_path, classifier),
        *('--student', weights(tmp_path, classifier), '--batches', '2'),
    )
    assert code == 0
    assert '| coco/bbox_mAP' in output
    assert 'right where the other is wrong' in output
    assert ('mean IoU' in output) != classifier
    saved = json.loads((tmp_path / 'config_work/go_no_go.json').read_text())
    assert (saved['placement'] is None) == classifier
    shares = saved['knowledge']
    gap = shares['teacher'] - shares['student']
    assert gap == pytest.approx(
        shares['teacher_alone'] - shares['student_alone']
    )
    if not classifier:
        assert 0 < saved['placement']['rois'] <= 1
    # Both were measured: other weights have other scores.
    metrics = saved['metrics']
    names = {name for each in metrics.values() for name in each}
    assert names == {'coco/bbox_mAP', 'coco/top1'}
    assert metrics['teacher'] != metrics['student']
    assert metrics['student']['coco/top1'] == 0.5


@pytest.mark.parametrize(
    'changes, options, message',
    [
        (dict(val_evaluator=None), True, "has no 'val_evaluator'"),
        (dict(custom_hooks=[]), True, '0 hooks with a teacher and 0 teachers'),
        ({}, False, 'give its weights'),
    ],
)
def test_refused(tmp_path, monkeypatch, capsys, changes, options, message):
    options = ['--student', weights(tmp_path)] if options else []
    config = config_of(tmp_path, **changes)
    code, _ = run(monkeypatch, capsys, go_no_go, config, *options)
    assert message in str(code)
    assert not (tmp_path / 'config_work/go_no_go.json').exists()


def test_what_can_be_read():
    roi = dict(roi_head=dict(type='StandardRoIHead'))
    assert go_no_go.losses_for(roi) is go_no_go.LOSSES
    assert go_no_go.losses_for(dict(head=dict())) is go_no_go.OF_IMAGES
    for other in (
        dict(bbox_head=dict(type='GFLHead')),
        dict(roi_head=dict(type='CascadeRoIHead')),
    ):
        assert go_no_go.losses_for(other) is go_no_go.MAPS


@pytest.mark.slow
def test_metrics_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(go_no_go, 'losses_for', lambda model: go_no_go.MAPS)
    config = config_of(tmp_path)
    code, output = run(
        monkeypatch, capsys, go_no_go, config, '--student', weights(tmp_path)
    )
    assert code == 0
    assert '| coco/bbox_mAP' in output
    assert 'foreground RoIs' not in output


def test_untrained_boxes_are_finite():
    coder = SimpleNamespace(means=(0.0,) * 4, stds=STDS)
    deltas = torch.full((2, 4), 1e4)
    reading = Reading(deltas, -deltas, torch.zeros(2, 4), torch.ones(2))
    found = go_no_go.placement(reading, coder)
    assert found['rois'] == 1
    assert found['student'] == found['teacher'] == 0


@pytest.mark.parametrize(
    'metrics, what', [(dict(dice=0.5), 'gives dice'), ({}, 'gives no metric')]
)
def test_an_evaluator_of_something_else(metrics, what):
    with pytest.raises(SystemExit, match=what):
        go_no_go.shown(metrics)
