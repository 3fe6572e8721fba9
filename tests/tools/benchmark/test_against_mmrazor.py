"""MMRazor's step beside the plugin's, where MMRazor is installed."""

import json
from pathlib import Path

import pytest

pytest.importorskip('mmrazor')

import torch  # noqa: E402
from mmengine.registry import MODELS, DefaultScope  # noqa: E402

from mmkd_plugin.losses import KDLoss  # noqa: E402
from mmkd_plugin.taps import RoIHeadTap  # noqa: E402
from tests.helpers.benchmarks import rows  # noqa: E402
from tests.helpers.teachers import Shown
from tests.helpers.tiny import batch, detector_cfg  # noqa: E402

pytestmark = pytest.mark.slow

BCCD = Path(__file__).resolve().parents[3] / 'configs' / 'bccd'


def test_table(run_benchmark, tmp_path):
    out = run_benchmark(
        'against_mmrazor',
        *(BCCD / 'frcnn_r18w32_r18w8_kd.py', '--size', 96, 128),
        *('--images', 2, '--rounds', 1, '--json', tmp_path / 'found.json'),
    )
    found = json.loads((tmp_path / 'found.json').read_text())['rows']
    best = 'mmrazor at its best'
    assert list(found) == ['student', 'plugin', 'mmrazor', best]
    printed = rows(out)
    for name, row in found.items():
        assert len(printed[name]) == 10
        assert printed[name][-1] == pytest.approx(
            row['memory_ratio'], abs=1e-3
        )
        for clock, ms in row['milliseconds'].items():
            expected = (
                ms['median'] / found[best]['milliseconds'][clock]['median']
            )
            assert row['ratio'][clock]['median'] == pytest.approx(expected)
    # The teacher's weights are counted, wherever they are.
    assert found['student']['memory'] < min(
        found['plugin']['memory'], found[best]['memory']
    )


def test_config_of_another_method(run_benchmark):
    config = BCCD / 'frcnn_r18w32_r18w8_ckd.py'
    with pytest.raises(SystemExit, match='to distil by KDLoss, which'):
        run_benchmark('against_mmrazor', config)


@pytest.mark.parametrize('at_its_best', [False, True])
def test_both_terms_of_the_rois_of_mmrazor(run_benchmark, at_its_best):
    """With MMRazor's delivery, its term is the plugin's of those RoIs."""
    import against_mmrazor

    against_mmrazor.register_mmrazor()
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(
            against_mmrazor.mmrazor_model(
                detector_cfg(),
                detector_cfg(width=16),
                dict(tau=2.0, loss_weight=3.0),
                2 if at_its_best else None,
            )
        )
    model.train()
    # As they are built, all logits are next to 0.
    for detector in (model.student, model.teacher):
        detector.roi_head.bbox_head.fc_cls.weight.data.normal_()
    tap = RoIHeadTap()
    tap.attach(model.student, model.teacher)
    data = model.data_preprocessor(batch(0, 1), True)
    losses = model(**data, mode='loss')
    reading = tap.take(Shown(model.teacher, data['inputs']))
    term = KDLoss(tau=2.0, loss_weight=3.0)(*reading)
    theirs = losses['distill.loss_kd']
    assert term > 0.1
    assert torch.isclose(theirs, term, rtol=1e-4) == at_its_best
