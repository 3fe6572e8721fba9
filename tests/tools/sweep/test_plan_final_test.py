"""The hook that tests a student once its training is over."""

import json

import pytest
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS
from plans import final_test  # noqa: F401  registers it

from tests.helpers import tiny
from tests.helpers.detector_runs import hook_cfg, make_runner

IMAGES = 3


@METRICS.register_module()
class SumOfScores(BaseMetric):
    default_prefix = 'test'
    asked = 0

    def process(self, data_batch, data_samples):
        for sample in data_samples:
            scores = sample['pred_instances']['scores']
            self.results.append(float(scores.sum()))

    def compute_metrics(self, results):
        SumOfScores.asked += 1
        return dict(score=sum(results), images=len(results))


@pytest.fixture
def runner(tmp_path):
    teacher = tiny.save_teacher(tmp_path / 'teacher.pth', width=16)
    loader = dict(
        batch_size=2,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(type='Boxes', length=IMAGES),
        collate_fn=dict(type='pseudo_collate'),
    )
    return make_runner(
        tmp_path,
        [hook_cfg(teacher), dict(type='TestAtEnd')],
        epochs=2,
        test_dataloader=loader,
        test_evaluator=dict(type='SumOfScores'),
        test_cfg=dict(),
    )


def logged(tmp_path):
    """The lines of the log that are of a test."""
    (path,) = tmp_path.glob('work/*/vis_data/scalars.json')
    lines = map(json.loads, path.read_text().splitlines())
    return [line for line in lines if 'test/score' in line]


def test_after_the_last_epoch_once(runner, tmp_path):
    before = SumOfScores.asked
    runner.train()
    assert SumOfScores.asked == before + 1
    (line,) = logged(tmp_path)
    assert (line['step'], line['test/images']) == (2, IMAGES)
    wanted = sum(
        float(output.pred_instances.scores.sum())
        for output in runner.model.eval().test_step(tiny.batch(0, 1, 2))
    )
    assert wanted > 0
    assert line['test/score'] == pytest.approx(wanted, rel=1e-3)
    # The teacher is gone, and the student is the last one.
    (hook,) = [h for h in runner.hooks if hasattr(h, 'distiller')]
    assert not hook.distiller.teachers


def test_a_test_alone_is_not_repeated(runner, tmp_path):
    before = SumOfScores.asked
    assert runner.test()['test/images'] == IMAGES
    assert SumOfScores.asked == before + 1
