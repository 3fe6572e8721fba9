"""Every field of a COCO file with every kind of value seen in it."""

import math
import re

import pytest
from mmdet.utils import register_all_modules

from tests.helpers.data_worlds import MASK_STEPS, check_coco

register_all_modules(init_default_scope=False)

NOTHING = object()


def put(part, key, value, every=1):
    """An edit that sets a field of each, or of every n-th, entry."""

    def edit(content):
        for entry in content[part][::every]:
            if value is NOTHING:
                entry.pop(key, None)
            else:
                entry[key] = value(entry) if callable(value) else value

    return edit


def same_boxes(content):
    for entry in content['annotations']:
        entry |= dict(bbox=[1, 1, 9, 9], area=81, category_id=1, image_id=1)
    content['annotations'][0]['image_id'] = 2


A, I, C = 'annotations', 'images', 'categories'  # noqa: E741
REFUSED = [
    *[
        (A, 'bbox', value)
        for value in (
            NOTHING,
            None,
            [],
            [1, 2, 3],
            [1, 2, 3, 4, 5],
            'text',
            {'x': 1},
            ['1', '2', '3', '4'],
            [1, 2, math.nan, 4],
            [1, 2, math.inf, 4],
            [1, 2, None, 4],
            [True, 2, 3, 4],
            [1, 2, 10**400, 4],
        )
    ],
    *[(A, 'area', v) for v in (NOTHING, None, '12', math.nan, math.inf, [1])],
    *[(A, 'id', v) for v in (NOTHING, None, [1], {}, math.nan, True)],
    *[(A, 'image_id', v) for v in (NOTHING, [1], {}, math.nan)],
    *[(A, 'category_id', v) for v in (NOTHING, [1], {}, math.inf)],
    *[(A, 'iscrowd', v) for v in ('0', '1', 'false', [], math.nan)],
    *[(A, 'ignore', v) for v in ('0', 'false', [])],
    *[(I, 'id', v) for v in (NOTHING, None, [1], math.nan, False)],
    *[(I, 'file_name', v) for v in (NOTHING, None, '', 3, ['a'], 'a\0b')],
    *[
        (I, key, v)
        for key in ('width', 'height')
        for v in (NOTHING, None, '64', 0, -64, math.nan, math.inf, [64])
    ],
    *[(C, 'id', v) for v in (NOTHING, None, [1], math.nan, True)],
    *[(C, 'name', v) for v in (NOTHING, None, ['cat'], {})],
]


@pytest.mark.parametrize('part, key, value', REFUSED)
def test_value_of_no_use_is_named(tmp_path, part, key, value):
    with pytest.raises(ValueError) as caught:
        check_coco(tmp_path, put(part, key, value, every=2))
    sentence = str(caught.value)
    number = dict(annotations=(4, 8), images=(2, 4), categories=(2, 3))[part]
    assert sentence.startswith(
        f'{number[0]} of the {number[1]} entries of `{part}` in '
        f'{tmp_path}/train.json of the train data have '
    )
    assert f'`{key}`' in sentence and ' the first: expected ' in sentence


@pytest.mark.parametrize(
    'edit, words',
    [
        (put(A, 'id', 5), '1 `id` of `annotations`'),
        (put(I, 'id', 1), '1 `id` of `images`'),
        (put(C, 'id', 1), '1 `id` of `categories`'),
        (put(A, 'id', 'x', every=9), 'are text and some are numbers'),
        (put(I, 'id', 'x', every=9), 'are text and some are numbers'),
        (put(A, 'image_id', 99), r'8 of its 8 .* no image has \(99\)'),
        (
            put(A, 'image_id', lambda a: str(a['image_id'])),
            r"no image has \('1', '2', .*, text, unlike `id`\)",
        ),
        (put(A, 'image_id', None), 'no image has'),
        (
            put(A, 'category_id', lambda a: str(a['category_id'])),
            r"`categories` does not have \('1'.*, text, unlike `id`\)",
        ),
        (put(A, 'category_id', -1), '`categories` does not have'),
        (put(A, 'iscrowd', 1), 'are crowds'),
        (put(A, 'iscrowd', True), 'are crowds'),
        (put(A, 'ignore', 1), 'have `ignore` set'),
        (put(A, 'area', 0), 'have an `area` that is not above 0'),
        (put(A, 'bbox', [100, 100, 9, 9]), 'reaches out of its image'),
        (put(A, 'bbox', [1, 1, -9, 9]), 'less than 1 x 1 pixel'),
        (put(A, 'bbox', [0.1, 0.2, 0.3, 0.4]), 'look like shares'),
        (
            put(
                A,
                'bbox',
                lambda a: [
                    *a['bbox'][:2],
                    a['bbox'][0] + a['bbox'][2],
                    a['bbox'][1] + a['bbox'][3],
                ],
            ),
            r'look like \[x1, y1, x2, y2\]',
        ),
        (put(I, 'width', 20), 'reaches out'),
        (put(I, 'width', 65), 'not of the size that the annotations say'),
        (put(C, 'name', ' Cat ', every=3), r"' Cat ' instead of 'cat'"),
        (put(C, 'name', 'cat'), 'no category of the annotation file'),
    ],
)
def test_what_would_teach_wrongly_is_refused(tmp_path, edit, words):
    with pytest.raises(ValueError, match=words):
        check_coco(tmp_path, edit)


@pytest.mark.parametrize(
    'edit, words',
    [
        (put(A, 'image_id', 99, 3), r'3 of the 8 .* no image has \(99\)'),
        (put(A, 'image_id', None, 3), r'no image has \(None\)'),
        (put(A, 'category_id', 9, 3), r'3 of the 8 .*does not have \(9\)'),
        (put(A, 'category_id', None, 3), r'does not have \(None\)'),
        (put(A, 'iscrowd', 1, 3), r'3 of the 8 .* are crowds'),
        (put(A, 'ignore', True, 3), r'3 of the 8 .* have `ignore` set'),
        (put(A, 'area', 0, 3), r'3 of the 8 .*`area` that is not above 0'),
        (put(A, 'area', -4, 3), r'3 of the 8 .*`area` that is not above 0'),
        (put(A, 'bbox', [1, 1, 0, 9], 3), r'3 of the 8 .*less than 1 x 1'),
        (put(A, 'bbox', [9, 9, -5, -5], 3), r'3 of the 8 .*less than 1 x 1'),
        (put(A, 'bbox', [64, 3, 1, 9], 3), r'3 of the 8 .*outside of'),
        (put(A, 'bbox', [60, 3, 30, 9], 9), r'1 of the 8 .*reaches out'),
        (same_boxes, r'6 of the 8 .*`bbox` of another one'),
    ],
)
def test_what_is_left_out_is_counted(tmp_path, edit, words):
    said = check_coco(tmp_path, edit)
    assert any(re.search(words, s) for s in said), said


@pytest.mark.parametrize(
    'edit',
    [
        lambda c: None,
        put(A, 'iscrowd', NOTHING),
        put(A, 'iscrowd', None),
        put(A, 'iscrowd', False),
        put(A, 'iscrowd', 0.0),
        put(A, 'ignore', 0),
        put(A, 'segmentation', NOTHING),
        put(A, 'segmentation', None),
        put(A, 'segmentation', []),
        put(A, 'segmentation', 'text'),
        put(A, 'attributes', dict(occluded=False)),
        put(A, 'id', lambda a: -a['id']),
        put(A, 'id', lambda a: a['id'] - 1),
        put(A, 'id', lambda a: f'a{a["id"]}'),
        put(A, 'bbox', lambda a: [float(v) for v in a['bbox']]),
        put(I, 'width', 64.0),
        put(I, 'license', 0),
        put(C, 'supercategory', None),
        put(C, 'supercategory', NOTHING),
        lambda c: c.pop('info', None),
        lambda c: c[C].insert(0, dict(id=0, name='animals')),
    ],
)
def test_what_makes_no_difference_passes(tmp_path, edit):
    assert check_coco(tmp_path, edit) == []


def test_ids_may_be_text_where_all_are(tmp_path):
    def edit(content):
        for entry in content[I] + content[C]:
            entry['id'] = f'i{entry["id"]}'
        for entry in content[A]:
            for key in ('image_id', 'category_id'):
                entry[key] = f'i{entry[key]}'

    assert check_coco(tmp_path, edit, edit) == []


@pytest.mark.parametrize('ring', [[], [[]], None, NOTHING])
def test_box_without_mask_where_masks_are_loaded(tmp_path, ring):
    edit = put(A, 'segmentation', ring, every=8)
    with pytest.raises(ValueError, match='1 of the 8 .*no `segmentation`'):
        check_coco(tmp_path, edit, pipeline=MASK_STEPS)


@pytest.mark.parametrize(
    'mask, words',
    [
        ('text', 'neither polygons nor RLE'),
        ([4, 6, 20, 6, 20, 16], 'neither polygons nor RLE'),
        ([['4', '6', '20', '6', '20', '16']], 'neither polygons nor RLE'),
        ([[4, 6, None, 6, 20, 16]], 'neither polygons nor RLE'),
        (dict(size=[48, 64]), 'neither polygons nor RLE'),
        (dict(size=[64, 48], counts=[0, 3072]), 'RLE is of another size'),
    ],
)
def test_masks_that_cannot_be_loaded(tmp_path, mask, words):
    edit = put(A, 'segmentation', mask, every=8)
    with pytest.raises(ValueError, match=words):
        check_coco(tmp_path, edit, pipeline=MASK_STEPS)
    (tmp_path / 'truth').mkdir()
    segm = dict(metric=['bbox', 'segm'])
    with pytest.raises(ValueError, match=f'{words}.* evaluated'):
        check_coco(tmp_path / 'truth', val=edit, evaluator=segm)


@pytest.mark.parametrize('ring', [[[4, 6]], [[4, 6, 20, 16]], [[1] * 7]])
def test_polygons_that_are_left_out(tmp_path, ring):
    edit = put(A, 'segmentation', ring, every=8)
    (said,) = check_coco(tmp_path, edit, pipeline=MASK_STEPS)
    assert said.startswith('1 of the 8 annotations') and 'polygons' in said
    (tmp_path / 'truth').mkdir()
    with pytest.raises(ValueError, match='1 of the 8 .*polygons'):
        check_coco(tmp_path / 'truth', val=edit, evaluator=dict(metric='segm'))


def test_good_masks_pass(tmp_path):
    for mask in (
        dict(size=[48, 64], counts=[0, 3072]),
        dict(size=[48, 64], counts='PP\\1'),
    ):
        edit = put(A, 'segmentation', mask)
        assert check_coco(tmp_path, edit, edit, pipeline=MASK_STEPS) == []
