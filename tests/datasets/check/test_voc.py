"""XML files as Pascal VOC has them, with what is seen in them."""

import re

import pytest
from mmdet.utils import register_all_modules

from tests.helpers.data_worlds import Run, save_pictures
from tests.helpers.voc_data import FILTER, XML, check_voc, voc_cfg

register_all_modules(init_default_scope=False)


def test_good_files_pass(tmp_path):
    assert check_voc(tmp_path) == []
    assert check_voc(tmp_path, ('>5<', '>5.4<')) == []
    size = '<size><width>64</width><height>48</height></size>'
    assert check_voc(tmp_path, (size, '')) == []


@pytest.mark.parametrize(
    'change, words',
    [
        (('</annotation>', '</annotation><annotation/>'), 'are damaged'),
        (('</annotation>', ''), 'are damaged'),
        ((XML, ' '), 'are damaged'),
        (('<name>cat</name>', ''), 'have an object without `name`'),
        (('bndbox', 'polygon'), 'have an object without `bndbox`'),
        (('<xmin>5</xmin>', ''), 'have no `xmin` in `bndbox`'),
        (('>5<', '><'), 'have None instead of a number as `xmin`'),
        (('>5<', '>a<'), "have 'a' instead of a number as `xmin`"),
        (('>5<', '>nan<'), "have 'nan' instead of a number"),
        (('<width>64</width>', ''), 'have no `width` in `size`'),
        (('>64<', '>64.0<'), "have '64.0' instead of a number as `width`"),
        (('<difficult>0<', '<difficult>Unspecified<'), 'as `difficult`'),
    ],
)
def test_file_that_cannot_be_read(tmp_path, change, words):
    with pytest.raises(ValueError, match=f'1 of the 4 XML files.*{words}'):
        check_voc(tmp_path, change, only=2)


@pytest.mark.parametrize(
    'change, words',
    [
        (('cat', 'Cat'), "4 of the 8 objects.*'Cat'.*'Cat' instead of 'cat'"),
        (('<name>cat<', '<name> cat<'), "' cat' instead of 'cat'"),
        (('>5<', '>24<'), '4 of the 8 boxes.*no width or no height'),
        (('>5<', '>30<'), '4 of the 8 boxes.*no width or no height'),
        (('>64<', '>65<'), '4 of the 4 images.*not of the size'),
        (('>64<', '>20<'), '8 of the 8 boxes.*reach out of their image'),
    ],
)
def test_what_would_teach_wrongly_is_refused(tmp_path, change, words):
    filters = dict(filter_cfg=dict(FILTER, bbox_min_size=None))
    with pytest.raises(ValueError, match=words):
        check_voc(tmp_path, change, **filters)


def test_nothing_to_train_on(tmp_path):
    with pytest.raises(ValueError, match='have a name that `metainfo`'):
        check_voc(tmp_path, metainfo=dict(classes=('a', 'b')))
    with pytest.raises(ValueError, match='None of the 4 images.*difficult'):
        check_voc(tmp_path, filter_cfg=dict(bbox_min_size=60))


@pytest.mark.parametrize(
    'change, words',
    [
        (('<name>dog<', '<name>bus<'), r"4 of the 8 objects.*\('bus'\)"),
        (('<difficult>0<', '<difficult>1<'), '4 of the 8 objects.*difficult'),
        (('>24<', '>70<'), '4 of the 8 boxes.*reach out of their image'),
        (('>31<', '>50<'), '4 of the 8 objects.*bbox_min_size'),
    ],
)
def test_what_is_left_out_is_counted(tmp_path, change, words):
    said = check_voc(tmp_path, change)
    assert any(re.search(words, text) for text in said), said


def test_images_that_are_filtered(tmp_path):
    with pytest.raises(ValueError, match='leaves them out: none is left'):
        check_voc(tmp_path, filter_cfg=dict(min_size=100))
    boxes = XML[XML.index('<object>') : XML.rindex('</annotation>')]
    said = check_voc(tmp_path, (boxes, ''), only=1)
    assert any('1 of the 4 images' in s and 'filter_empty' in s for s in said)


@pytest.mark.parametrize(
    'names, words',
    [
        ('0\n\n1\n', "Line 2 of .* is ''"),
        ('0\n1 \n', "Line 2 of .* is '1 '"),
        ('0 1\n5\n', '2 of the 2 XML files.*are not there'),
        ('0\n7\n', '1 of the 2 XML files.*are not there, .*7.xml'),
        ('', 'lists no image'),
        ('0.jpg\n', r'are not there, .*0.jpg.xml'),
    ],
)
def test_list_of_images(tmp_path, names, words):
    with pytest.raises(ValueError, match=words):
        check_voc(tmp_path, names=names)


def test_name_that_is_listed_twice(tmp_path):
    said = check_voc(tmp_path, names='0\n1\n0\n')
    assert '1 of the 3 lines' in said[0]


def test_pictures_of_another_ending(tmp_path):
    save_pictures(tmp_path / 'JPEGImages', ending='png')
    check_voc(tmp_path)
    for path in (tmp_path / 'JPEGImages').glob('*.jpg'):
        path.unlink()
    with pytest.raises(FileNotFoundError):
        Run(train_dataloader=dict(dataset=voc_cfg(tmp_path))).check()
