"""Each row of docs/data.md, on files that are made here."""

import json
import re
from pathlib import Path

import pytest
from mmdet.utils import register_all_modules
from PIL import Image

from tests.helpers import folder_data, voc_data
from tests.helpers.coco_edits import (
    each,
    first,
    from_zero,
    to_corners,
    to_shares,
)
from tests.helpers.data_worlds import (
    CLASSES,
    MASK_STEPS,
    check_coco,
    coco,
    coco_cfg,
    coco_run,
    save_pictures,
)
from tests.helpers.errors_page import case_of

register_all_modules(init_default_scope=False)
PAGE = Path(__file__).parents[3] / 'docs' / 'data.md'
# Id of a row -> a function that gets an empty folder, and checks such data.
CASES = {}


case = case_of(CASES)


def both(name, edit, **changes):
    """A row on a file that is training and validation data."""
    case(name)(lambda path: check_coco(path, edit, edit, **changes))


def text(name, content, encoding='utf-8'):
    both(name, lambda coco: content.encode(encoding))


def via_ids(content):
    each('images', id=lambda e: str(e['id']))(content)


def all_text(content):
    for part in ('images', 'categories', 'annotations'):
        for key in ('id', 'image_id', 'category_id'):
            for entry in content[part]:
                if key in entry:
                    entry[key] = str(entry[key])


def project_first(name):
    def edit(content):
        content['categories'].insert(0, dict(id=0, name=name))

    return edit


def image_twice(content):
    content['images'].append(dict(content['images'][0], id=99))


def annotation_twice(content):
    content['annotations'].append(dict(content['annotations'][0], id=99))


both('cvat-crowd', each('annotations', iscrowd=1))
both('cvat-some', first('annotations', iscrowd=1))
both(
    'cvat-attributes',
    lambda c: (
        each('annotations', attributes=dict(occluded=False))(c)
        or each('images', license=0, coco_url='', date_captured=0)(c)
        or each('categories', supercategory='')(c)
    ),
)
both('label-studio-zero', from_zero)
both(
    'label-studio-windows',
    each('images', file_name=lambda e: f'images\\{e["file_name"]}'),
)
text('label-studio-json', '[{"id": 1, "annotations": [], "data": {}}]')
both('roboflow-root', project_first('cat'))
both('roboflow-project', project_first('animals'))
both('roboflow-segmentation', each('annotations', segmentation=[]))
both(
    'roboflow-masks',
    first('annotations', segmentation=[]),
    pipeline=MASK_STEPS,
)
text('via-project', '{"_via_img_metadata": {}, "_via_settings": {}}')
both('via-text', via_ids)
both('all-text', all_text)
text('labelme', '{"version": "5.0", "shapes": [], "imagePath": "0.png"}')
text('createml', '[{"image": "0.png", "annotations": []}]')
both('no-crowd', each('annotations', iscrowd=None))
both('supercategory', each('categories', supercategory=None))
both(
    'no-area',
    lambda c: [entry.pop('area') for entry in c['annotations']] and None,
)
both('area-zero', first('annotations', area=0))
both('corners', each('annotations', bbox=to_corners))
both('shares', each('annotations', bbox=to_shares))
both('null', first('annotations', bbox=None))
both('unknown-category', first('annotations', category_id=77))
both('twice', first('annotations', id=2))
both('same-image', image_twice)
both('same', annotation_twice)
text('bom', json.dumps(coco()), 'utf-8-sig')
text('utf-16', json.dumps(coco()), 'utf-16')
text('crlf', json.dumps(coco(), indent=1).replace('\n', '\r\n'))
both('case', each('images', file_name=lambda e: e['file_name'].upper()))
both('scaled', each('images', width=128, height=96))
for key, metainfo in (
    ('class-text', dict(classes='cat')),
    ('class-key', dict(CLASSES=CLASSES)),
    ('class-case', dict(classes=('Cat', 'dog', 'owl'))),
):
    both(key, lambda content: None, metainfo=metainfo)


@case('gzip')
def _(path):
    import gzip

    content = gzip.compress(json.dumps(coco()).encode())
    return check_coco(path, lambda coco: content)


@case('turned')
def _(path):
    save_pictures(path / 'images', ending='jpg')
    for picture in (path / 'images').iterdir():
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.open(picture).save(picture, exif=exif.tobytes())
    name = each(
        'images', file_name=lambda e: e['file_name'].replace('png', 'jpg')
    )
    return check_coco(path, name, name)


@case('evaluator')
def _(path):
    other = each('images', file_name=lambda e: f'x{e["file_name"]}')
    return check_coco(path, truth=other)


@case('evaluator-nums')
def _(path):
    return check_coco(path, evaluator=dict(proposal_nums=(1, 10, 50)))


@case('concat')
def _(path):
    run = coco_run(path)
    parts = [
        coco_cfg(path, metainfo=dict(classes=CLASSES, palette=palette))
        for palette in ([(1, 2, 3)] * 3, [(3, 2, 1)] * 3)
    ]
    data = dict(type='ConcatDataset', datasets=parts)
    run.cfg['train_dataloader']['dataset'] = data
    said = run.check()
    run = coco_run(path)
    run.cfg['val_dataloader']['dataset'] = data
    with pytest.raises(ValueError, match='a different `metainfo`'):
        run.check()
    return said


case('voc-case')(lambda path: voc_data.check_voc(path, ('cat', 'Cat')))
case('voc-damaged')(
    lambda path: voc_data.check_voc(path, ('</annotation>', ''), only=1)
)
case('voc-list')(lambda path: voc_data.check_voc(path, names='0\n\n1\n'))
case('folder-order')(
    lambda path: folder_data.check_folders(path, classes=CLASSES[::-1])
)


@case('folder-hidden')
def _(path):
    (path / 'train' / '.ipynb_checkpoints').mkdir(parents=True)
    return folder_data.check_folders(path)


@case('folder-endings')
def _(path):
    save_pictures(path / 'train' / 'cat')
    (path / 'train' / 'cat' / '9.heic').write_bytes(b'1')
    return folder_data.check_folders(path)


def rows():
    """Id of each row, and what happens."""
    return [
        (re.search('id="(.*?)"', line)[1], line.split('|')[3].strip())
        for line in PAGE.read_text().splitlines()
        if line.startswith('| <a id=')
    ]


def test_page_has_one_row_for_each_case():
    names = [name for name, _ in rows()]
    assert sorted(names) == sorted(CASES) and len(names) > 40


@pytest.mark.parametrize('name, happens', rows())
def test_row(name, happens, tmp_path):
    """The first code in the row is in what is said."""
    words = re.search('`(.*?)`', happens)
    try:
        said = CASES[name](tmp_path)
    except (ValueError, FileNotFoundError) as error:
        assert happens.startswith('Error'), error
        said = [str(error)]
    else:
        assert not happens.startswith('Error')
        quiet = happens.startswith(('Read as it is.', 'Trained'))
        quiet = quiet or happens == 'Read as it is, for boxes.'
        assert bool(said) is not quiet, said
        if quiet:
            return
    assert any(words[1] in line.replace('`', '') for line in said), said
