"""The metric that runs are compared by."""

import pytest
from metric_choice import check_metric, choose_metric
from mmengine.config import Config
from sweep_plan import PlanError

import mmkd_plugin  # noqa: F401
from tests.helpers import tiny, tiny_cls


def config(*evaluators, scope='mmdet'):
    evaluators = [dict(e) for e in evaluators]
    return Config(
        dict(
            default_scope=scope,
            val_dataloader=dict(),
            val_evaluator=evaluators if evaluators[1:] else evaluators[0],
        )
    )


BBOX = dict(type='CocoMetric', metric='bbox')
ACCURACY = dict(type='Accuracy', topk=(1, 5))


@pytest.mark.parametrize(
    'evaluators, expected',
    [
        ([BBOX], 'coco/bbox_mAP'),
        (
            [dict(type='mmdet.CocoMetric', metric=['bbox', 'segm'])],
            'coco/bbox_mAP',
        ),
        ([dict(BBOX, prefix='mine')], 'mine/bbox_mAP'),
        ([dict(type='VOCMetric', metric='mAP')], 'pascal_voc/mAP'),
        ([dict(type='LVISMetric', metric=['bbox'])], 'lvis/bbox_AP'),
        ([ACCURACY], 'accuracy/top1'),
        ([dict(type='Other'), ACCURACY], 'accuracy/top1'),
    ],
)
def test_choice(evaluators, expected):
    assert choose_metric(config(*evaluators)) == expected


def test_unknown():
    for evaluator in (
        dict(type='Other'),
        dict(type='CocoMetric', metric='proposal'),
    ):
        with pytest.raises(PlanError, match='name it with --metric'):
            choose_metric(config(evaluator))
    with pytest.raises(PlanError, match='does not validate'):
        choose_metric(Config(dict(val_evaluator=None)))


def test_a_metric_that_cannot_be_logged():
    tiny.build_detector()
    tiny_cls.build_classifier()
    check_metric(config(BBOX), 'coco/bbox_mAP_50')
    check_metric(config(BBOX, dict(BBOX, prefix='mine')), 'mine/bbox_mAP')
    check_metric(config(ACCURACY, scope='mmpretrain'), 'accuracy/top5')
    # It may log anything.
    check_metric(config(dict(type='Other')), 'mean')
    with pytest.raises(PlanError, match='names that begin with coco/'):
        check_metric(config(BBOX), 'cocos/bbox_mAP')
