"""Which models the taps of dense heads read, and which they refuse."""

import copy

import pytest
import torch
from mmdet.models import dense_heads as known_to_mmdet
from torch import nn

from mmkd_plugin.distill.terms import default_tap
from mmkd_plugin.taps import DenseBinTap, DenseBoxTap, DenseHeadTap
from mmkd_plugin.taps.dense.dense_heads import FAMILIES, REFUSED, is_dense
from tests.helpers import tiny
from tests.helpers.dense import KINDS, build_dense

TAPS = (DenseHeadTap, DenseBoxTap, DenseBinTap)


@pytest.fixture
def retina():
    return build_dense('retina')


def heads_of_mmdet():
    found = vars(known_to_mmdet).values()
    return [kind for kind in found if isinstance(kind, type)]


def is_subclass(kind):
    return not {base.__name__ for base in kind.__mro__}.isdisjoint(FAMILIES)


@pytest.mark.parametrize('kind', sorted(KINDS))
def test_known_heads_are_read(kind):
    model = build_dense(kind)
    for tap in (DenseHeadTap(), DenseBoxTap()):
        assert tap.fits(model)
        assert tap.num_classes(model) == 3
        assert tap.reads(model) == f'its {type(model.bbox_head).__name__}'
        tap.refuse('student', model)


def test_every_head_of_mmdet_is_read_or_refused(retina):
    """A head that mmdet adds to a known family is looked at first."""
    read = set()
    for kind in heads_of_mmdet():
        if is_subclass(kind):
            model = copy.copy(retina)
            model._modules = dict(model._modules)
            model._modules['bbox_head'] = kind.__new__(kind)
            if is_dense(model):
                read.add(kind.__name__)
    assert read == {*FAMILIES, 'LDHead', 'NASFCOSHead', 'RTMDetSepBNHead'}


@pytest.mark.parametrize('name', sorted(REFUSED))
def test_subclasses_with_other_rows_are_refused(retina, name):
    kind = getattr(known_to_mmdet, name)
    assert is_subclass(kind)
    retina._modules['bbox_head'] = kind.__new__(kind)
    assert not DenseHeadTap().fits(retina)
    with pytest.raises(
        TypeError,
        match=f'The teacher RetinaNet has a {name}, which {REFUSED[name]}, '
        'but DenseHeadTap reads one row of binary logits .* RTMDetHead',
    ):
        DenseHeadTap().refuse('teacher', retina)


@pytest.mark.parametrize('kind', TAPS)
def test_other_models_are_refused(retina, kind):
    tap, name = kind(), kind.__name__
    two_stage = tiny.build_detector()
    assert not tap.fits(two_stage)
    with pytest.raises(
        TypeError, match=f'FasterRCNN is a two-stage detector, but {name}'
    ):
        tap.refuse('student', two_stage)
    retina._modules['bbox_head'] = nn.Identity()
    assert not tap.fits(retina)
    with pytest.raises(TypeError, match='has a Identity, which is none of'):
        tap.refuse('student', retina)
    del retina._modules['bbox_head']
    assert not tap.fits(retina)
    with pytest.raises(TypeError, match='RetinaNet has no dense head, but'):
        tap.refuse('student', retina)


@pytest.mark.parametrize('kind', TAPS)
def test_softmax_is_refused(kind):
    softmax = dict(type='CrossEntropyLoss', use_sigmoid=False)
    model = build_dense('retina', loss_cls=softmax)
    with pytest.raises(
        TypeError, match='has 4 logits for 3 classes with a softmax, but'
    ):
        kind().refuse('student', model)


def test_strides_must_agree(retina):
    other = build_dense('retina', 1)
    generator = other.bbox_head.prior_generator
    generator.strides = [(4, 4), *generator.strides[:4]]
    with pytest.raises(
        TypeError, match=r'strides differ: student \[\(8, 8\).*\[\(4, 4\)'
    ):
        DenseHeadTap().attach(retina, other)
    with pytest.raises(TypeError, match='strides differ'):
        DenseHeadTap().attach(build_dense('rtmdet'), build_dense('fcos'))


def test_number_of_anchors_must_agree(retina):
    with pytest.raises(
        TypeError, match=r'anchors per place differ: student \[2, 2, 2, 2, 2\]'
    ):
        DenseHeadTap().attach(retina, build_dense('atss'))


def test_several_anchors_per_place_must_be_the_same(retina):
    """Of classes too: a row belongs to an anchor."""
    other = build_dense('retina', 1)
    other.bbox_head.prior_generator.ratios = torch.tensor([2.0, 0.5])
    with pytest.raises(TypeError, match='`ratios` differ: .* no dense head'):
        DenseHeadTap().attach(retina, other)


def test_offset_of_points_must_agree_for_boxes():
    own, other = build_dense('fcos'), build_dense('fcos', 1)
    other.bbox_head.prior_generator.offset = 0
    DenseHeadTap().attach(own, other)
    with pytest.raises(TypeError, match='`offset` differ: student 0.5, teach'):
        DenseBoxTap().attach(own, other)


def test_loss_of_a_softmax_is_told_what_to_use(retina):
    with pytest.raises(
        TypeError,
        match='RetinaNet has a sigmoid per class, which DenseHeadTap reads.*'
        "BCKDLoss, or BinaryKDLoss with .tap=dict.type='DenseHeadTap'",
    ):
        default_tap(retina)
