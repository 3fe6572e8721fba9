"""A teacher whose logits are kept in a folder."""

import os
import shutil
from pathlib import Path

import numpy as np

from tests.helpers.cached_runs import IMAGES, loader_cfg, save_sheets
from tests.helpers.errors_page import case

CACHE = Path('cache')
# Of the images of `save_sheets`, without crops: a cache of 12 rows.
ROWS = IMAGES


def cached(w, data=None, **teacher):
    """Train with a cache in the folder `cache`."""
    if not Path('data').exists():
        save_sheets(w.folder / 'data')
    return w.train(
        w.teacher(**{'cache': 'cache', **teacher}),
        train_dataloader=loader_cfg(w.folder, **(data or {})),
    )


def again(w, change, **changes):
    """Train, change something, and train again."""
    ended = cached(w)
    assert ended.code == 0, ended.output[-3000:]
    shutil.rmtree('work')
    change()
    return cached(w, **changes)


def pictures(w, **changes):
    """Train on folders of images, with arguments of the random crop."""
    w.file(
        'train/cat/0.png',
        Path(save_sheets(w.folder / 'data') / ('train/cat.png')).read_bytes(),
    )
    crop = dict(type='ReplayedResizedCrop', scale=16, views=2) | changes
    data = dict(
        type='CustomDataset',
        data_root='train',
        classes=['cat'],
        pipeline=[
            dict(type='LoadImageFromFile'),
            crop,
            dict(type='PackInputs', meta_keys=('sample_idx', 'variant')),
        ],
    )
    return w.train(train_dataloader=dict(w.loader(), dataset=data))


def rewrite(change):
    """Change the rows of a cache, and give them their checksums."""
    from mmkd_plugin.teachers.cache.store import Store

    store = Store(CACHE, ROWS, 3)
    rows = store.filled()
    store.write(rows, change(store.read(rows)[0]))


case('cache-path')(lambda w: cached(w, cache=5))
case('cache-data')(lambda w: w.train(w.teacher(cache='cache')))
case('cache-other')(lambda w: again(w, lambda: None, data=dict(padding=1)))
case('cache-cut')(
    lambda w: again(w, lambda: os.truncate(CACHE / 'logits.npy', 200))
)
case('cache-manifest')(
    lambda w: again(w, lambda: (CACHE / 'manifest.json').write_text('{'))
)
case('cache-rows')(lambda w: again(w, lambda: rewrite(lambda x: x + 1)))
case('view-scale')(lambda w: pictures(w, scale=(1, 2, 3)))
case('view-side')(lambda w: pictures(w, scale=0))
case('view-views')(lambda w: pictures(w, views=0))
case('view-seed')(lambda w: pictures(w, seed=-1))
case('view-interpolation')(lambda w: pictures(w, interpolation='best'))
case('view-backend')(lambda w: pictures(w, backend='jax'))


@case('cache-tap')
def _(w):
    loss = dict(
        type='PKDLoss',
        loss_weight=1.0,
        student_channels=[8],
        teacher_channels=[8],
        tap=dict(type='FeatureTap', modules='backbone'),
    )
    return w.train(
        w.hook(
            teacher=dict(
                config='teacher.py', checkpoint='teacher.pth', cache='cache'
            ),
            losses=dict(loss_pkd=loss),
        )
    )


@case('cache-mixed')
def _(w):
    save_sheets(w.folder / 'data')
    model = w.model()
    model['data_preprocessor']['batch_augments'] = dict(
        augments=dict(type='Mixup', alpha=0.8)
    )
    return w.train(
        w.teacher(cache='cache'),
        train_dataloader=loader_cfg(w.folder),
        model=model,
    )


@case('cache-foreign')
def _(w):
    w.file('cache/notes.txt')
    return cached(w)


@case('cache-folder')
def _(w):
    w.file('cache')
    return cached(w)


@case('cache-place')
def _(w):
    really = shutil.disk_usage

    def usage(path):
        found = really(path)
        return (
            found._replace(free=100) if Path(path).name == 'cache' else found
        )

    w.monkeypatch.setattr(shutil, 'disk_usage', usage)
    return cached(w)


@case('cache-full-disk')
def _(w):
    def write(*args):
        raise OSError(28, 'No space left on device')

    w.monkeypatch.setattr(os, 'pwrite', write)
    return cached(w)


@case('cache-row-damaged')
def _(w):
    from mmkd_plugin.teachers.cache.cached_teacher import CachedTeacher

    verify = CachedTeacher.verify

    def damage(teacher):
        found = verify(teacher)
        path = CACHE / 'logits.npy'
        content = bytearray(path.read_bytes())
        content[-4:] = b'abcd'
        # Not a new file: the training has this one open.
        with open(path, 'r+b') as file:
            file.write(content)
        return found

    return again(
        w, lambda: w.monkeypatch.setattr(CachedTeacher, 'verify', damage)
    )


@case('cache-unnumbered')
def _(w):
    from mmkd_plugin.datasets import InMemoryCIFAR100

    replay = InMemoryCIFAR100.replay

    def unnumbered(*args):
        batch = replay(*args)
        for sample in batch['data_samples']:
            sample.pop('variant')
        return batch

    w.monkeypatch.setattr(InMemoryCIFAR100, 'replay', unnumbered)
    return cached(w)


@case('cache-number')
def _(w):
    from mmkd_plugin.datasets import InMemoryCIFAR100

    w.monkeypatch.setattr(
        InMemoryCIFAR100,
        '_draw',
        lambda self, number: 100 + np.zeros(number, np.int64),
    )
    return cached(w)
