"""Annotation files that cannot be read, and images that are not there."""

import gzip
import json

import numpy as np
import pytest
from mmdet.utils import register_all_modules
from PIL import Image

from tests.helpers.data_worlds import (
    CLASSES,
    check_coco,
    coco,
    coco_cfg,
    coco_run,
    save_pictures,
)

register_all_modules(init_default_scope=False)
TEXT = json.dumps(coco())


@pytest.mark.parametrize(
    'content, words',
    [
        (TEXT.encode('utf-8-sig'), 'a byte order mark.*: save it without'),
        (TEXT.encode('utf-16'), 'is written in UTF-16.*: save it as UTF-8'),
        (TEXT.encode('utf-16-be'), 'is not JSON'),
        (TEXT.encode('utf-32'), 'is written in UTF-32.*: save it as UTF-8'),
        (TEXT.replace('cat', 'Käfer').encode('latin-1'), 'not written'),
        (json.dumps(coco()).encode() + b'\0', 'is not JSON'),
        (TEXT[:-20], 'is not JSON'),
        ('', 'is empty'),
        (' \r\n', 'is empty'),
        (gzip.compress(TEXT.encode()), 'is compressed by gzip.*: unpack it'),
        ('[' * 100000, 'is not JSON'),
        ('[]', 'got a list'),
        ('{}', 'got an empty dict'),
        ('"x"', 'got a str'),
        ('{"images": {}}', 'a list `images` but got dict'),
        ('{"images": [1], "categories": []}', 'dicts in `images` but got 1'),
        ('{"images": [{}]}', 'a list `categories` but got none'),
        ('{"images": [{}], "categories": []}', '`annotations` but got none'),
        (
            '{"images": [{}], "categories": [], "annotations": null}',
            '`annotations` but got NoneType',
        ),
        (
            '{"images": [], "categories": [], "annotations": []}',
            'lists no image',
        ),
        ('{"_via_img_metadata": {}}', 'a project of VIA'),
        ('{"a.png123": {"filename": "", "regions": []}}', 'an export of VIA'),
        ('{"shapes": [], "imagePath": ""}', 'a file of labelme'),
        ('[{"id": 1, "annotations": [], "data": {}}]', 'of Label Studio'),
        ('[{"image": "a.png", "annotations": []}]', 'of CreateML'),
        ('[{"image_id": 1, "score": 0.5}]', 'a file of results'),
        ('{"metainfo": {}, "data_list": []}', 'BaseDetDataset'),
    ],
)
def test_file_that_cannot_be_read(tmp_path, content, words):
    with pytest.raises(ValueError, match=words) as caught:
        check_coco(tmp_path, lambda coco: content)
    assert 'train.json of the train data' in str(caught.value)


def test_windows_line_ends_and_other_letters_pass(tmp_path):
    text = json.dumps(coco(), indent=1, ensure_ascii=False)
    text = text.replace('"none"', '"Käfer"').replace('\n', '\r\n')
    assert check_coco(tmp_path, lambda coco: text) == []


def named(change):
    def edit(content):
        for entry in content['images']:
            entry['file_name'] = change(entry['file_name'])

    return edit


@pytest.mark.parametrize(
    'change, words',
    [
        (lambda n: f'x{n}', 'x0.png the first: give their folder'),
        (lambda n: f'images\\{n}', 'there is .*0.png; take the folder out'),
        (lambda n: f'data/{n}', '0.png; correct `data_prefix`'),
        (lambda n: f'images/{n}', '0.png; correct `data_prefix`'),
        (lambda n: n.upper(), '0.png; case and ending count'),
        (lambda n: n.replace('png', 'jpg'), '0.png; case and ending count'),
        (lambda n: f'https://x.org/{n}', 'download the images'),
        (lambda n: f'C:\\data\\{n}', 'there is .*0.png; take the folder'),
    ],
)
def test_images_that_are_not_there(tmp_path, change, words):
    with pytest.raises(FileNotFoundError, match=words) as caught:
        check_coco(tmp_path, named(change))
    assert '4 of the 4 images of the train data' in str(caught.value)


def test_name_as_in_an_address(tmp_path):
    save_pictures(tmp_path / 'images')
    (tmp_path / 'images' / '0.png').rename(tmp_path / 'images' / 'a b.png')

    def edit(content):
        content['images'][0]['file_name'] = 'a%20b.png'

    with pytest.raises(FileNotFoundError, match='1 of the 4 .*%20'):
        check_coco(tmp_path, edit)


def test_name_with_a_backslash(tmp_path):
    save_pictures(tmp_path / 'images' / 'a')
    with pytest.raises(FileNotFoundError, match='write / instead of'):
        check_coco(tmp_path, named(lambda n: f'a\\{n}'))


def test_other_places_of_images_pass(tmp_path):
    save_pictures(tmp_path / 'images' / 'inner')
    edit = named(lambda n: f'inner/{n}')
    assert check_coco(tmp_path, edit, edit) == []
    edit = named(lambda n: str(tmp_path / 'images' / 'inner' / n))
    assert check_coco(tmp_path, edit, edit) == []


def test_every_image_is_looked_for(tmp_path):
    def edit(content):
        content['images'] += [
            dict(id=i, file_name=f'{i % 4}.png', width=64, height=48)
            for i in range(10, 900)
        ]
        content['images'][777]['file_name'] = 'gone.png'

    with pytest.raises(FileNotFoundError, match='1 of the 894 images'):
        check_coco(tmp_path, edit, filter_cfg=None)


def save_turned(folder, orientation):
    save_pictures(folder / 'images')
    for path in (folder / 'images').iterdir():
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.open(path).save(path.with_suffix('.jpg'), exif=exif.tobytes())


@pytest.mark.parametrize('orientation', range(1, 9))
def test_turned_images(tmp_path, orientation):
    save_turned(tmp_path, orientation)
    edit = named(lambda n: n.replace('png', 'jpg'))
    if orientation < 5:
        assert check_coco(tmp_path, edit, edit) == []
    else:
        with pytest.raises(ValueError, match='it is 48 x 64 .it is turned by'):
            check_coco(tmp_path, edit, edit)
    # A pipeline that does not turn them reads them as they are annotated.
    plain = [dict(type='LoadImageFromFile', color_type='unchanged')]
    run = coco_run(tmp_path, edit, edit, pipeline=plain)
    del run.cfg['val_dataloader']
    assert run.check() == []


@pytest.mark.parametrize('mode', ['L', 'RGBA', 'P', 'I;16', '1', 'LA'])
def test_images_of_other_kinds_pass(tmp_path, mode):
    (tmp_path / 'images').mkdir()
    for index in range(4):
        image = Image.new('RGB', (64, 48))
        if mode == 'I;16':
            image = Image.fromarray(np.full((48, 64), 999, np.uint16))
        else:
            image = image.convert(mode)
        image.save(tmp_path / 'images' / f'{index}.png')
    assert check_coco(tmp_path) == []


def test_images_that_are_none(tmp_path):
    save_pictures(tmp_path / 'images')
    path = tmp_path / 'images' / '2.png'
    path.write_bytes(b'')
    with pytest.raises(FileNotFoundError, match=r'1 of the 4 .*2\.png'):
        check_coco(tmp_path)
    path.write_bytes(b'<html>')
    with pytest.raises(ValueError, match=r'2\.png could not be decoded'):
        check_coco(tmp_path)


@pytest.mark.parametrize(
    'metainfo, words',
    [
        (dict(classes='cat'), r"write \('cat',\) with a comma"),
        (dict(CLASSES=CLASSES), '`classes` in lower case'),
        (dict(Classes=CLASSES), '`classes` in lower case'),
        (dict(classes=5), 'a tuple of names but got 5'),
        (dict(classes=()), r'a tuple of names but got \(\)'),
        (dict(classes={'cat', 'dog'}), 'a tuple of names but got {'),
        (dict(classes=('cat', 'dog', 'cat')), "names 'cat' twice"),
        (dict(classes=('Cat', 'dog', 'owl')), "'cat' instead of 'Cat'"),
        (dict(classes=('cat ', 'dog', 'owl')), "'cat' instead of 'cat '"),
        (dict(classes=(1, 2, 3)), r'\(1, 2, 3\) are no category'),
        ('classes', "to be a dict such as .* but got 'classes'"),
        (dict(), '78 of the 80 classes'),
    ],
)
def test_classes_told_wrongly(tmp_path, metainfo, words):
    with pytest.raises((TypeError, ValueError), match=words):
        check_coco(tmp_path, metainfo=metainfo)


@pytest.mark.parametrize('prefix', ['images/', dict(img_path='images/')])
def test_prefix_told_wrongly(tmp_path, prefix):
    with pytest.raises(ValueError, match=r"expected dict\(img='FOLDER/'\)"):
        check_coco(tmp_path, data_prefix=prefix)


def test_classes_in_a_file_and_a_list(tmp_path):
    names = tmp_path / 'names.txt'
    names.write_text('\n'.join(CLASSES))
    assert check_coco(tmp_path, metainfo=dict(classes=str(names))) == []
    assert check_coco(tmp_path, metainfo=dict(classes=list(CLASSES))) == []


def test_some_of_the_classes(tmp_path):
    few = dict(classes=('cat', 'dog'))
    said = check_coco(tmp_path, metainfo=few)
    assert any(
        '2 of the 8' in text and '`classes` does not name (owl)' in text
        for text in said
    ), said


def test_splits_of_other_classes(tmp_path):
    run = coco_run(tmp_path)
    run.cfg['val_dataloader']['dataset'] = coco_cfg(
        tmp_path, 'val.json', metainfo=dict(classes=('cat', 'dog'))
    )
    with pytest.raises(ValueError, match='labels are numbered by them'):
        run.check()


def test_another_storage_is_not_asked(tmp_path):
    save_pictures(tmp_path / 'images')
    run = coco_run(tmp_path, backend_args=dict(backend='local'))
    (tmp_path / 'images' / '3.png').unlink()
    with pytest.raises(FileNotFoundError):
        run.check()
