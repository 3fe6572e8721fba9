"""Which images are shown, and what is drawn into them."""

import base64
from io import BytesIO

import numpy as np
import pytest
from page import pictures
from PIL import Image


def box(left, label=0, score=0.9):
    return dict(category_id=label, bbox=[left, 4, 10, 12], score=score)


TRUTH = [[box(0), box(20), box(40, 1)], [box(0)], [box(0)], []]
ALONE = dict(
    task='detection',
    images=[0, 1, 2, 3],
    classes=dict(cat=None, dog=None),
    truth=TRUTH,
    found=[[box(0)], [box(0)], [box(0)], []],
)
OTHER = dict(
    ALONE,
    # Two more; one less; a wrong one more, which changes no match.
    found=[TRUTH[0], [], [box(0), box(50)], [box(7)]],
)


def test_choice_of_boxes():
    assert pictures.choose(ALONE, OTHER) == dict(
        improved=[0], harmed=[1], counts=(1, 1)
    )
    assert pictures.choose(OTHER, ALONE) == dict(
        improved=[1], harmed=[0], counts=(1, 1)
    )
    assert pictures.choose(ALONE, ALONE)['counts'] == (0, 0)


def test_of_equal_changes_the_one_with_less_errors_comes_first():
    truth = [[box(0)], [box(0)]]
    alone = dict(ALONE, truth=truth, found=[[], []])
    other = dict(alone, found=[[box(0), box(50)], [box(0)]])
    assert pictures.choose(alone, other)['improved'] == [1, 0]


def test_choice_of_labels():
    alone = dict(
        task='classification',
        truth=[0, 1, 2, 0],
        found=[1, 1, 0, 0],
        trust=[0.1, 0.9, 0.3, 0.8],
    )
    other = dict(alone, found=[0, 0, 2, 0], trust=[0.5, 0.2, 0.9, 0.1])
    assert pictures.choose(alone, other) == dict(
        improved=[2, 0], harmed=[1], counts=(2, 1)
    )


def test_few_are_shown():
    many = 9
    alone = dict(ALONE, truth=[[box(0)]] * many, found=[[]] * many)
    other = dict(alone, found=[[box(0)]] * many)
    found = pictures.choose(alone, other)
    assert len(found['improved']) == 3 and found['counts'] == (9, 0)


@pytest.fixture
def black(monkeypatch):
    size = (pictures.WIDTH // 4, 24)
    monkeypatch.setattr(
        pictures,
        'open_images',
        lambda folder, indices: [Image.new('RGB', size) for _ in indices],
    )


def pixels(cell):
    head, data = cell['source'].split(',')
    assert head == 'data:image/webp;base64'
    image = Image.open(BytesIO(base64.b64decode(data)))
    assert image.size == (cell['width'], cell['height'])
    return np.asarray(image.convert('RGB')).astype(int)


def test_drawn_boxes(black):
    models = dict(alone=ALONE, other=OTHER)
    ((truth, alone, other),), colors = pictures.draw(None, models, [0])
    assert [cell['title'] for cell in (truth, alone, other)] == [
        'ground truth', 'alone', 'other'
    ]  # fmt: skip
    assert truth['caption'] == '2 cat, 1 dog'
    assert alone['caption'] == '1 of 3 found, 0 wrong'
    assert other['alt'] == 'other: 3 of 3 found, 0 wrong'
    assert [*colors] == ['cat', 'dog']
    # In the middle of the second object: missed by one, outlined by others.
    middle = [pixels(cell)[40, 100] for cell in (truth, alone, other)]
    assert middle[0].max() < 30 and middle[2].max() < 30
    assert middle[1].max() > 60
    # On the left edge of the first: an outline in all.
    for cell in (truth, alone, other):
        assert pixels(cell)[40, :5].max() > 120


def test_a_wrong_box_has_a_cross(black):
    models = dict(alone=ALONE, other=OTHER)
    ((truth, alone, other),), _ = pictures.draw(None, models, [3])
    assert (truth['caption'], alone['caption']) == (
        'nothing', '0 of 0 found, 0 wrong'
    )  # fmt: skip
    assert other['caption'] == '0 of 0 found, 1 wrong'
    assert pixels(alone).max() < 30
    assert pixels(other)[40, 48].max() > 60  # its centre


def test_labels(monkeypatch):
    tiny = Image.fromarray(np.zeros((32, 32, 3), np.uint8))
    monkeypatch.setattr(pictures, 'open_images', lambda *args: [tiny])
    alone = dict(
        task='classification',
        images=[5],
        classes=dict(cat=50.0, dog=None),
        truth=[1],
        found=[0],
        trust=[0.25],
    )
    other = dict(alone, found=[1], trust=[0.75])
    models = dict(alone=alone, other=other)
    ((cell,),), colors = pictures.draw(None, models, [0])
    assert cell['title'] == 'dog' and colors == {}
    assert cell['caption'] == (
        'alone: cat (25 % on the true class); other: dog (75 % on the true '
        'class)'
    )
    assert pixels(cell).shape == (128, 128, 3)


def test_more_classes_than_colours_are_named(black):
    classes = {f'class {index}': None for index in range(10)}
    found = [box(2 * index, index) for index in range(10)]
    models = dict(a=dict(ALONE, classes=classes, truth=[found], found=[[]]))
    ((named, _),), colors = pictures.draw(None, models, [0])
    assert len(colors) == 10
    few = dict(ALONE, classes=classes, truth=[found[:8]], found=[[]])
    ((plain, _),), _ = pictures.draw(None, dict(a=few), [0])
    # Names have a white ground.
    assert (pixels(named) > 180).all(2).sum() > (pixels(plain) > 180).all(
        2
    ).sum()
