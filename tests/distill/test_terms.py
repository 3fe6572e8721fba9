"""Which tap each loss reads by."""

import pytest
from torch import nn

from mmkd_plugin.distill.terms import build_terms, default_tap
from mmkd_plugin.losses import CKDLoss
from mmkd_plugin.taps import ClsHeadTap, RoIHeadTap
from tests.helpers import tiny, tiny_cls

KD = dict(type='KDLoss', tau=1.0)
FOREGROUND = dict(type='RoIHeadTap', background_weight=0)


def test_equal_configs_share_a_tap():
    terms = build_terms(
        dict(
            loss_a=KD,
            loss_b=dict(KD, tap=dict(FOREGROUND)),
            loss_c=dict(KD, tap=dict(FOREGROUND)),
            loss_d=KD,
        ),
        dict(type='RoIHeadTap'),
    )
    taps = {name: term.tap for name, term in terms.items()}
    assert taps['loss_a'] is taps['loss_d']
    assert taps['loss_b'] is taps['loss_c']
    assert taps['loss_a'].background_weight == 1
    assert taps['loss_b'].background_weight == 0


def test_what_is_built_is_taken_as_it_is():
    loss, tap = CKDLoss(tau=1.0, loss_weight=1.0), RoIHeadTap()
    (term,) = build_terms(dict(loss_ckd=loss), tap).values()
    assert term.loss is loss
    assert term.tap is tap


def test_config_is_not_changed():
    cfg = dict(loss_kd=dict(KD, tap=FOREGROUND))
    build_terms(cfg)
    assert cfg == dict(loss_kd=dict(KD, tap=FOREGROUND))


def test_default_is_the_first_that_fits():
    assert type(default_tap(tiny.build_detector())) is RoIHeadTap
    assert type(default_tap(tiny_cls.build_classifier())) is ClsHeadTap
    with pytest.raises(TypeError, match='Linear has no head that one of'):
        default_tap(nn.Linear(2, 2))
