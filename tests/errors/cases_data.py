"""What is wrong with the training data."""

import json
from pathlib import Path

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from PIL import Image

from tests.helpers import tiny
from tests.helpers.errors_page import case


def annotation(**changes):
    return dict(
        id=1,
        image_id=1,
        category_id=0,
        bbox=[8, 8, 16, 16],
        area=256,
        iscrowd=0,
    ) | dict(changes)


def image(number, name='a.png'):
    return dict(id=number, file_name=name, width=64, height=64)


def coco(
    w,
    classes=tiny.CLASSES,
    picture=None,
    workers=0,
    wrapped='',
    hooks=(),
    **changes,
):
    """Train a detector on a COCO data set of one image.

    Args:
        w (World): Where.
        classes (Sequence): Of ``metainfo``.
        picture (bytes): The content of the image; none is a black one.
        workers (int): Loader processes.
        wrapped (str): 'times' or 'datasets', the key of a wrapper.
        hooks (Sequence): Other hooks.
        **changes: Of the content of the annotation file, by its keys, and
            else of the config of the data set.
    """
    content = dict(
        images=[image(1)],
        annotations=[annotation()],
        categories=[dict(id=i, name=n) for i, n in enumerate(tiny.CLASSES)],
    )
    for key in [key for key in changes if key in content]:
        content[key] = changes.pop(key)
    text = changes.pop('text', json.dumps(content))
    w.use('detector').file('a.json', text)
    Image.new('RGB', (64, 64)).save('a.png')
    if picture is not None:
        w.file('a.png', picture)
    dataset = dict(
        type='CocoDataset',
        data_root=str(w.folder),
        ann_file='a.json',
        data_prefix=dict(img=''),
        metainfo=dict(classes=classes),
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations', with_bbox=True),
            dict(type='PackDetInputs'),
        ],
    )
    dataset.update(changes)
    if wrapped == 'times':
        dataset = dict(type='RepeatDataset', dataset=dataset, times=2)
    elif wrapped:
        dataset = dict(type='ConcatDataset', datasets=[dataset, dataset])
    loader = w.loader(num_workers=workers)
    loader = dict(loader, dataset=dataset)
    return w.train(w.hook(), *hooks, train_dataloader=loader)


def cifar(w, **changes):
    """Train on CIFAR-100, of which nothing is there."""
    dataset = dict(type='InMemoryCIFAR100', data_root='.')
    loader = w.loader(collate_fn=dict(type='take_batch'))
    return w.train(
        train_dataloader=dict(loader, dataset={**dataset, **changes})
    )


case('data-root')(lambda w: coco(w, data_root='no/such'))
case('annotation-missing')(lambda w: coco(w, ann_file='b.json'))
case('annotation-not-json')(lambda w: coco(w, text='{"images": ['))
case('annotation-not-coco')(lambda w: coco(w, images=None))
case('annotation-key')(lambda w: coco(w, annotations=[dict(id=1, image_id=1)]))
case('annotation-ids')(
    lambda w: coco(
        w,
        images=[image(1), image(2)],
        annotations=[annotation(), annotation(image_id=2)],
    )
)
case('annotation-no-image')(lambda w: coco(w, images=[], annotations=[]))
case('annotation-no-box')(lambda w: coco(w, annotations=[]))
case('zero-area')(
    lambda w: coco(w, annotations=[annotation(bbox=[8, 8, 0, 16], area=0)])
)
case('categories')(lambda w: coco(w, classes=('car', 'bus')))
case('categories-some')(lambda w: coco(w, classes=('cat', 'bus')))
case('categories-order')(lambda w: coco(w, classes=tiny.CLASSES[::-1]))
case('image-missing')(lambda w: coco(w, images=[image(1, 'b.png')]))
# In another process, whose traceback becomes part of the message.
case('image-damaged')(lambda w: coco(w, picture=b'noise', workers=1))


@HOOKS.register_module()
class Emptied(Hook):
    """Empties an image that was there when the data were checked."""

    def before_train_epoch(self, runner):
        Path('a.png').write_bytes(b'')


@case('image-empty')
def _(w):
    # After all images have been looked for.
    return coco(w, hooks=[dict(type='Emptied')])


case('cifar-missing')(lambda w: cifar(w, data_root='no/such'))
case('cifar-path')(lambda w: cifar(w, data_root=None))
case('cifar-split')(lambda w: cifar(w, split='val'))
case('cifar-padding')(lambda w: cifar(w, padding=-1))
case('cifar-flip')(lambda w: cifar(w, flip_prob=2))


@case('cifar-file-missing')
def _(w):
    w.file('cifar-100-python/meta')
    return cifar(w)


@case('cifar-md5')
def _(w):
    w.file('cifar-100-python/train')
    return cifar(w)


@case('cifar-archive')
def _(w):
    w.file('cifar-100-python.tar.gz', 'no archive')
    return cifar(w)


@case('cifar-sheet')
def _(w):
    Path('train').mkdir()
    Image.new('RGB', (64, 40)).save('train/cat.png')
    return cifar(w)
