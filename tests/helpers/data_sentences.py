"""Data that bring a sentence of docs/errors.md about."""

import json

from tests.helpers import folder_data, voc_data
from tests.helpers.coco_edits import (
    change,
    each,
    first,
    rename,
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
)

OUT = each('annotations', bbox=[40, 20, 30, 9])


def data(edit=None, **changes):
    return lambda path: check_coco(path, edit, **changes)


def text(content):
    return lambda path: check_coco(path, lambda coco: content)


def folders(**changes):
    return lambda path: folder_data.check_folders(path, **changes)


def voc(change=None, **changes):
    return lambda path: voc_data.check_voc(path, change, **changes)


def own(entry):
    meta = dict(classes=CLASSES)
    content = dict(metainfo=meta, data_list=[entry])
    return lambda path: folder_data.own(content, path)


def parts(split, **metainfo):
    """Two parts, of which the second has another `metainfo`."""

    def check(path):
        run = coco_run(path)
        other = coco_cfg(path, metainfo=metainfo, test_mode=split == 'val')
        plain = dict(other, metainfo=dict(classes=CLASSES))
        run.cfg[f'{split}_dataloader']['dataset'] = dict(
            type='ConcatDataset', datasets=[plain, other]
        )
        return run.check()

    return check


def val(**changes):
    def check(path):
        run = coco_run(path)
        run.cfg['val_dataloader']['dataset'].update(changes)
        return run.check()

    return check


def with_folder(name):
    def check(path):
        (path / 'train' / name).mkdir(parents=True)
        return folder_data.check_folders(path)

    return check


def with_list(line):
    def check(path):
        (path / 'list.txt').write_text(line)
        return folder_data.check_folders(
            path, ann_file='list.txt', classes=CLASSES
        )

    return check


def only_small(content):
    each('annotations', bbox=[1, 1, 9, 9], iscrowd=1)(content)
    first('annotations', iscrowd=0)(content)
    first('images', width=20, height=20)(content)


CASES = {
    'annotation-value': data(first('annotations', bbox=None)),
    'annotation-text': text(json.dumps(coco()).encode('utf-16')),
    'annotation-latin': text(
        json.dumps(coco(), ensure_ascii=False)
        .replace('none', 'Käfer')
        .encode('latin-1')
    ),
    'annotation-empty': text(''),
    'annotation-format': text('{"_via_img_metadata": {}}'),
    'annotation-entries': text(
        '{"images": [1], "categories": [], "annotations": []}'
    ),
    'annotation-kinds': data(first('annotations', id='x')),
    'boxes-corners': data(each('annotations', bbox=to_corners)),
    'boxes-shares': data(each('annotations', bbox=to_shares)),
    'boxes-out': data(OUT),
    'filter': data(filter_cfg=dict(min_size=99)),
    'filter-boxes': data(only_small, filter_cfg=dict(min_size=48)),
    'masks': data(first('annotations', segmentation=[]), pipeline=MASK_STEPS),
    'masks-short': data(
        val=first('annotations', segmentation=[[4, 6, 8, 9]]),
        evaluator=dict(metric='segm'),
    ),
    'image-size': data(each('images', width=65)),
    'classes-text': data(metainfo=dict(classes='cat')),
    'classes-key': data(metainfo=dict(CLASSES=CLASSES)),
    'classes-kind': data(metainfo=dict(classes=5)),
    'classes-twice': data(metainfo=dict(classes=('cat', 'cat'))),
    'metainfo': data(metainfo='cat'),
    'data-prefix': data(data_prefix='images/'),
    'categories-twice': data(
        lambda c: c['categories'].append(dict(id=9, name='cat'))
    ),
    'parts-metainfo': parts('val', classes=CLASSES, palette=[(1, 2, 3)] * 3),
    'splits-classes': val(metainfo=dict(classes=('cat', 'dog'))),
    'evaluator-images': data(truth=rename),
    'evaluator-others': val(indices=2),
    'evaluator-nothing': data(truth=change('iscrowd', 1)),
    'evaluator-nums': data(evaluator=dict(proposal_nums=(1, 10))),
    'evaluator-items': data(evaluator=dict(metric_items=['AP'])),
    'evaluator-pipeline': data(evaluator=dict(ann_file=None)),
    'voc-file': voc(('>5<', '>a<'), only=1),
    'voc-names': voc(('cat', 'Cat')),
    'voc-list': voc(names='0\n\n1\n'),
    'voc-none': voc(filter_cfg=dict(bbox_min_size=60)),
    'voc-box': voc(('>5<', '>24<'), filter_cfg=None),
    'voc-out': voc(('>64<', '>20<'), filter_cfg=None),
    'folder-missing': folders(data_prefix='no'),
    'folder-none': folders(data_prefix='train/cat'),
    'folder-number': folders(classes=('cat', 'dog')),
    'folder-order': folders(classes=CLASSES[::-1]),
    'folder-hidden': with_folder('.cache'),
    'folder-endings': folders(extensions=('.jpg',)),
    'list-line': with_list('cat/0.png\n'),
    'list-label': with_list('cat/0.png 3\n'),
    'own-format': lambda path: folder_data.own(dict(images=[]), path),
    'own-label': own(folder_data.entry(bbox_label=3)),
    'own-box': own(folder_data.entry(bbox=[4, 6, 2, 22])),
    'no-box': own(dict(folder_data.entry(), instances=[])),
}
