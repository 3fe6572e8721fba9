"""Crops of which an image has a fixed number, and data sets with them."""

import mmcv
import numpy as np
import pytest
import torch
from mmengine.registry import TRANSFORMS, DefaultScope
from mmpretrain.datasets import CustomDataset
from mmpretrain.datasets.transforms import RandomFlip, RandomResizedCrop

from mmkd_plugin.datasets import ReplayedResizedCrop
from mmkd_plugin.datasets.replayable import replayable
from mmkd_plugin.datasets.replayed_crop import draw_box
from mmkd_plugin.resume.randomness import SeededSamples
from tests.helpers.data_worlds import CLASSES

KEYS = ('sample_idx', 'variant', 'crop', 'flip')


def picture(height=40, width=64, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def taken(crop, index=3, **results):
    return crop(dict(img=picture(), sample_idx=index, **results))


@pytest.fixture
def folder(tmp_path):
    for number, name in enumerate(CLASSES):
        for index in range(3):
            path = tmp_path / 'train' / name / f'{index}.png'
            mmcv.imwrite(picture(seed=3 * number + index), str(path))
    return tmp_path


def pipeline(views=4, keys=KEYS, extra=(), **settings):
    return [
        dict(type='LoadImageFromFile'),
        dict(type='ReplayedResizedCrop', scale=24, views=views, **settings),
        *extra,
        dict(type='PackInputs', meta_keys=keys),
    ]


def dataset_of(folder, *args, **kwargs):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return CustomDataset(
            data_root=str(folder),
            data_prefix='train',
            pipeline=pipeline(*args, **kwargs),
        )


@pytest.mark.parametrize('backend', ['cv2', 'pillow'])
@pytest.mark.parametrize('interpolation', ['bilinear', 'bicubic'])
def test_pixels_are_those_of_the_library(monkeypatch, backend, interpolation):
    """Its crop and flip, given the same box, make the same bits."""
    settings = dict(interpolation=interpolation, backend=backend)
    flips = set()
    for index in range(8):
        found = taken(
            ReplayedResizedCrop((24, 20), views=3, **settings), index
        )
        library = RandomResizedCrop((24, 20), **settings)
        monkeypatch.setattr(
            library,
            'rand_crop_params',
            lambda image, box=found['crop']: box,
        )
        wanted = library(dict(img=picture()))
        if found['flip']:
            wanted = RandomFlip(1.0)(wanted)
        assert np.array_equal(found['img'], wanted['img'])
        assert found['img_shape'] == wanted['img_shape']
        flips.add(found['flip'])
    assert flips == {True, False}


def test_the_same_number_gives_the_same_picture():
    crop = ReplayedResizedCrop(24, views=5)
    np.random.seed(0)
    state = np.random.get_state()[1].tolist()
    one = taken(crop, variant=2)
    assert np.random.get_state()[1].tolist() == state
    assert one['variant'] == 2
    again = taken(ReplayedResizedCrop(24, views=9), variant=2)
    assert np.array_equal(one['img'], again['img'])
    for other in (
        taken(crop, variant=3),
        taken(crop, index=4, variant=2),
        taken(ReplayedResizedCrop(24, views=5, seed=1), variant=2),
    ):
        assert other['crop'] != one['crop']


def test_boxes_are_pinned():
    """A cache of today is of use after an update of NumPy."""
    random = np.random.RandomState([0, 3, 1])
    assert draw_box(40, 64, random) == (3, 1, 35, 41)


def test_all_views_are_drawn():
    crop = ReplayedResizedCrop(24, views=5)
    np.random.seed(0)
    seen = [taken(crop)['variant'] for _ in range(200)]
    counts = np.bincount(seen, minlength=5)
    assert len(counts) == 5 and counts.min() > 20


def test_boxes_are_distributed_as_those_of_the_library():
    library = RandomResizedCrop(24)
    np.random.seed(0)
    image = picture(100, 150)
    wanted = [library.rand_crop_params(image) for _ in range(4000)]
    random = np.random.RandomState(0)
    found = [draw_box(100, 150, random) for _ in range(4000)]
    for share in (0.05, 0.25, 0.5, 0.75, 0.95):
        one, other = (np.quantile(x, share, axis=0) for x in (found, wanted))
        assert np.abs(one - other).max() <= 5


@pytest.mark.parametrize(
    'height, width, box',
    [(10, 400, (0, 193, 10, 13)), (400, 9, (194, 0, 12, 9))],
)
def test_images_without_room_for_a_box(height, width, box):
    """The largest central box, as of the library."""

    class Whole:
        def uniform(self, low, high):
            return high

    assert draw_box(height, width, Whole()) == box
    library = RandomResizedCrop(24, max_attempts=0)
    assert library.rand_crop_params(picture(height, width)) == box


@pytest.mark.parametrize(
    'settings, message',
    [
        (dict(scale=(1, 2, 3)), '`scale` to be a height and a width'),
        (dict(scale=0), '`scale` to be an integer >= 1 but got 0'),
        (dict(views=0), '`views` to be an integer from 1 to 10000'),
        (dict(seed=-1), '`seed` to be an integer from 0'),
        (dict(flip_prob=2), '`flip_prob` to be a number from 0 to 1'),
        (dict(interpolation='best'), '`interpolation` to be one of nearest'),
        (dict(backend='jax'), '`backend` to be one of cv2, pillow'),
    ],
)
def test_arguments(settings, message):
    with pytest.raises((TypeError, ValueError), match=message):
        ReplayedResizedCrop(**{'scale': 24, 'views': 2, **settings})


def test_pictures_of_a_data_set_come_again(folder):
    dataset = dataset_of(folder)
    images = replayable(dataset)
    assert (len(images), images.variants) == (9, 4)
    samples = [dataset[index] for index in (1, 8, 4, 1)]
    metas = [sample['data_samples'] for sample in samples]
    assert [meta.sample_idx for meta in metas] == [1, 8, 4, 1]
    again = images.replay(
        [meta.sample_idx for meta in metas],
        torch.tensor([meta.variant for meta in metas]),
    )
    for one, other in zip(samples, again['inputs']):
        assert torch.equal(one['inputs'], other)
    labels = [int(meta.gt_label) for meta in again['data_samples']]
    assert labels == [int(meta.gt_label) for meta in metas]


def test_views_of_a_resumed_run_are_those_of_the_whole(folder):
    seeded = SeededSamples(dataset_of(folder, views=50), seed=3)
    one, other = (seeded([1, 2, 5]) for _ in range(2))
    views = [x['data_samples'].variant for x in one]
    assert views == [x['data_samples'].variant for x in other]
    seeded.epoch.fill_(1)
    later = [x['data_samples'].variant for x in seeded([1, 2, 5])]
    assert views != later


def test_identity(folder):
    whole = replayable(dataset_of(folder)).identity()
    assert replayable(dataset_of(folder)).identity() == whole

    def changed():
        found = replayable(dataset_of(folder)).identity()
        return [name for name in whole if found[name] != whole[name]]

    other = replayable(dataset_of(folder, views=5)).identity()
    assert other['pipeline'] != whole['pipeline']
    mmcv.imwrite(picture(seed=99), str(folder / 'train/cat/0.png'))
    assert changed() == ['data']
    moved = folder.rename(folder.with_name('moved'))
    there = replayable(dataset_of(moved)).identity()
    moved.rename(folder)
    assert there['data'] == replayable(dataset_of(folder)).identity()['data']
    (folder / 'train/cat/0.png').rename(folder / 'train/dog/9.png')
    assert changed() == ['data']


@pytest.mark.parametrize(
    'changes, reason',
    [
        (dict(extra=[dict(type='ColorJitter')]), 'has ColorJitter in its'),
        (dict(extra=[dict(type='RandomFlip', prob=0.5)]), 'RandomFlip in'),
        (dict(keys=('sample_idx',)), 'has no variant in the `meta_keys`'),
        (
            dict(extra=[dict(type='ReplayedResizedCrop', scale=9, views=2)]),
            'has 2 ReplayedResizedCrop in',
        ),
    ],
)
def test_pipelines_that_cannot_be_replayed(folder, changes, reason):
    with pytest.raises(TypeError, match=reason):
        replayable(dataset_of(folder, **changes))


def test_it_is_registered():
    built = TRANSFORMS.build(
        dict(type='ReplayedResizedCrop', scale=8, views=2)
    )
    assert repr(built).startswith(
        'ReplayedResizedCrop(scale=(8, 8), views=2, seed=0, flip_prob=0.5'
    )
