"""The fragments of CrossKD and DETRDistill for Deformable DETR."""

import pytest
from mmengine.registry import HOOKS

from tests.helpers.det_configs import CONFIGS, load
from tests.helpers.doc_examples import DOCS, examples

# Decoder layers of the students.
LAYERS = 6
TEACHER = dict(config='teacher.py', checkpoint='teacher.pth')
each_fragment = pytest.mark.parametrize(
    'name', ['crosskd_detr', 'detrdistill']
)


def terms_of(entry):
    """Settings of loss and tap of each term."""
    terms = HOOKS.build(dict(entry, teacher=TEACHER)).distiller.terms
    return {
        name: [
            {k: v for k, v in vars(part).items() if not k.startswith('_')}
            | {'type': type(part).__name__}
            for part in (loss, tap)
        ]
        for name, (loss, tap) in terms.items()
    }


def fragment(name):
    return load(CONFIGS / f'_base_/methods/{name}.py').distill


@each_fragment
def test_fragment_has_the_settings_of_the_page(name):
    (example,) = examples(DOCS / 'methods' / f'{name}.md')
    assert terms_of(fragment(name)) == terms_of(eval(example.code))


def test_weights_are_those_of_the_authors():
    """Who add up the layers, of which the losses here are means."""
    student = load(CONFIGS / 'deformable-detr_r50.py').model
    assert student.decoder.num_layers == LAYERS
    found = {
        (name, term): loss['loss_weight'] / LAYERS
        for name in ('crosskd_detr', 'detrdistill')
        for term, (loss, _) in terms_of(fragment(name)).items()
    }
    assert found == {
        ('crosskd_detr', 'loss_binarykd'): 1,
        ('crosskd_detr', 'loss_box'): 1,
        ('detrdistill', 'loss_binarykd'): 1,
        ('detrdistill', 'loss_box'): 5,
        ('detrdistill', 'loss_boxiou'): 2,
    }


@each_fragment
def test_taps_are_crossed_or_not(name):
    crossed = name == 'crosskd_detr'
    for _, tap in terms_of(fragment(name)).values():
        assert tap['crossed'] == crossed
        assert tap.get('pixels', crossed) == crossed
