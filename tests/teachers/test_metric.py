"""Evaluating the teacher before the first step."""

import json

import pytest
import torch
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS

from mmkd_plugin.teachers.metric import CACHE
from tests.helpers import tiny
from tests.helpers.detector_runs import hook_cfg, make_runner

pytestmark = pytest.mark.slow


@METRICS.register_module()
class ScoreSum(BaseMetric):
    """Sum of all scores, and how often it was asked for."""

    evaluations = 0

    def process(self, data_batch, data_samples):
        for sample in data_samples:
            scores = sample['pred_instances']['scores']
            self.results.append(float(scores.sum()))

    def compute_metrics(self, results):
        ScoreSum.evaluations += 1
        return dict(score=sum(results), images=len(results))


@pytest.fixture
def teacher(tmp_path):
    return tiny.save_teacher(tmp_path / 'teacher.pth')


def run(tmp_path, teacher, **kwargs):
    loader = dict(
        batch_size=2,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(type='Boxes', length=4),
        collate_fn=dict(type='pseudo_collate'),
    )
    runner = make_runner(
        tmp_path,
        [hook_cfg(teacher, **kwargs)],
        val_dataloader=loader,
        val_evaluator=dict(type='ScoreSum'),
        val_cfg=dict(),
        train_cfg=dict(by_epoch=True, max_epochs=1, val_interval=9),
        log_level='INFO',
    )
    runner.train()
    return runner


def test_metric_is_measured_once_and_kept(tmp_path, teacher):
    model = tiny.build_detector(7).eval()
    wanted = sum(
        float(output.pred_instances.scores.sum())
        for output in model.test_step(tiny.batch(0, 1, 2, 3))
    )
    assert wanted > 0
    before = ScoreSum.evaluations
    weights = []
    for _ in range(2):
        runner = run(tmp_path, teacher, evaluate_teacher=True)
        weights.append(
            torch.cat([p.flatten() for p in runner.model.parameters()])
        )
    # The teacher once, the student at the end of both runs.
    assert ScoreSum.evaluations == before + 3
    (metrics,) = json.loads((tmp_path / 'work' / CACHE).read_text()).values()
    assert metrics['images'] == 4
    assert metrics['score'] == pytest.approx(wanted, rel=1e-4)
    text = ''.join(p.read_text() for p in tmp_path.glob('work/*/*.log'))
    assert text.count('on the validation set: ') == 2
    assert f'score {metrics["score"]:.4g}' in text
    # Neither the evaluation nor its absence changes the student.
    weights.append(
        torch.cat(
            [
                p.flatten()
                for p in run(tmp_path / 'plain', teacher).model.parameters()
            ]
        )
    )
    assert torch.equal(weights[0], weights[1])
    assert torch.equal(weights[0], weights[2])


def test_weak_teacher_is_refused(tmp_path, teacher):
    with pytest.raises(ValueError, match='score .* below the 1000000.0'):
        run(tmp_path, teacher, min_metric={'score': 1e6})
    assert not list(tmp_path.glob('work/*.pth'))
    with pytest.raises(ValueError, match=r"'mAP', but .*'images', 'score'"):
        run(tmp_path, teacher, min_metric={'mAP': 0.1})


def test_classes_of_a_teacher_of_features_alone(
    tmp_path, teacher, monkeypatch
):
    """Or its metrics would be those of other classes."""
    losses = dict(loss_pkd=dict(type='PKDLoss', loss_weight=6.0))
    other = dict(teacher, classes=('cat', 'dog', 'emu'))
    with pytest.raises(ValueError, match='1 of the 3 classes'):
        run(tmp_path, other, losses=losses, evaluate_teacher=True)
    seen = []
    monkeypatch.setattr(
        'mmkd_plugin.hooks.distill_hook.refuse_weak_teacher',
        lambda runner, teacher, least: seen.append(teacher.columns.tolist()),
    )
    other = dict(teacher, classes=('owl', 'cat', 'dog'))
    run(tmp_path / 'b', other, losses=losses, evaluate_teacher=True)
    assert seen == [[1, 2, 0]]


def test_without_validation_there_is_nothing_to_measure(tmp_path, teacher):
    runner = make_runner(tmp_path, [hook_cfg(teacher, evaluate_teacher=True)])
    with pytest.raises(ValueError, match='give `val_dataloader`'):
        runner.train()
