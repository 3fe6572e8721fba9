"""CIFAR-100 from disk to batches."""

import hashlib
import io
import os
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import FUNCTIONS
from mmpretrain.models.utils import ClsDataPreprocessor
from PIL import Image
from torch.utils.data import DataLoader

from mmkd_plugin.datasets import InMemoryCIFAR100, cifar100_files, take_batch
from mmkd_plugin.datasets.cifar100_files import read_cifar100
from mmkd_plugin.resume.randomness import SeededSamples

REPO = Path(__file__).parents[2]
REAL = Path(os.environ.get('MMKD_DATA', REPO.parent / 'shared/data'))
CLASSES = ('ant', 'bee', 'cat')


def pictures(number=4, seed=0):
    """Noise pictures, uint8 (number, 32, 32, 3)."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (number, 32, 32, 3), dtype=np.uint8)


@pytest.fixture
def sheets(tmp_path):
    """A folder of sheets of 2 x 2 tiles, one a class."""
    for split in ('train', 'test'):
        folder = tmp_path / split
        folder.mkdir()
        for seed, name in enumerate(CLASSES):
            rows = np.split(pictures(seed=seed), 2)
            sheet = np.concatenate([np.concatenate(row, 1) for row in rows])
            Image.fromarray(sheet).save(folder / f'{name}.png')
    return tmp_path


@pytest.fixture
def contents(monkeypatch):
    """Files of an archive, by name, that count as the right ones."""
    data = pictures(6).transpose(0, 3, 1, 2).reshape(6, -1)
    split = dict(data=data, fine_labels=[2, 0, 1, 1, 0, 2])
    files = {
        'train': pickle.dumps(split, protocol=2),
        'test': pickle.dumps(split, protocol=2),
        'meta': pickle.dumps(dict(fine_label_names=list(CLASSES)), protocol=2),
    }
    monkeypatch.setattr(
        cifar100_files,
        'MD5',
        {name: hashlib.md5(text).hexdigest() for name, text in files.items()},
    )
    return files


def unpack(contents, root):
    folder = root / 'cifar-100-python'
    folder.mkdir()
    for name, text in contents.items():
        (folder / name).write_bytes(text)


def pack(contents, root):
    with tarfile.open(root / 'cifar-100-python.tar.gz', 'w:gz') as archive:
        for name, text in contents.items():
            entry = tarfile.TarInfo(f'cifar-100-python/{name}')
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text))


def test_sheets(sheets):
    images, labels, classes = read_cifar100(str(sheets), 'train')
    assert classes == CLASSES
    assert labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    wanted = np.concatenate([pictures(seed=seed) for seed in range(3)])
    assert np.array_equal(images, wanted.transpose(0, 3, 1, 2))


@pytest.mark.parametrize('put', [unpack, pack])
def test_archive(tmp_path, contents, put):
    put(contents, tmp_path)
    for split in ('train', 'test'):
        images, labels, classes = read_cifar100(str(tmp_path), split)
        assert classes == CLASSES
        assert labels.tolist() == [2, 0, 1, 1, 0, 2]
        assert np.array_equal(images, pictures(6).transpose(0, 3, 1, 2))


def test_nothing_there(tmp_path):
    with pytest.raises(FileNotFoundError, match='not found in .*: download'):
        InMemoryCIFAR100(str(tmp_path / 'none'))


def test_file_missing_in_the_folder(tmp_path, contents):
    del contents['meta']
    unpack(contents, tmp_path)
    with pytest.raises(FileNotFoundError, match="has no file 'meta'"):
        read_cifar100(str(tmp_path), 'train')


@pytest.mark.parametrize('put', [unpack, pack])
def test_other_contents_are_not_unpickled(tmp_path, contents, put):
    class Bomb:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / 'exploded'),))

    contents['train'] = pickle.dumps(Bomb())
    put(contents, tmp_path)
    with pytest.raises(ValueError, match="'train' .* has the md5"):
        read_cifar100(str(tmp_path), 'train')
    assert not (tmp_path / 'exploded').exists()


def test_archive_cut_off(tmp_path, contents):
    pack(contents, tmp_path)
    path = tmp_path / 'cifar-100-python.tar.gz'
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ValueError, match='could not be read.*download it'):
        read_cifar100(str(tmp_path), 'train')


def test_archive_with_a_folder_in_place_of_a_file(tmp_path):
    path = tmp_path / 'cifar-100-python.tar.gz'
    with tarfile.open(path, 'w:gz') as archive:
        entry = tarfile.TarInfo('cifar-100-python/train')
        entry.type = tarfile.DIRTYPE
        archive.addfile(entry)
    with pytest.raises(ValueError, match='train is a folder.*download it'):
        read_cifar100(str(tmp_path), 'train')


def test_sheet_of_another_size(sheets):
    Image.new('RGB', (64, 40)).save(sheets / 'train' / 'bee.png')
    with pytest.raises(ValueError, match='its size is 64 x 40'):
        read_cifar100(str(sheets), 'train')


@pytest.mark.parametrize(
    'arguments, message',
    [
        (dict(split='val'), "one of train, test but got 'val'"),
        (
            dict(padding=-1),
            '`padding` to be an integer from 0 to 256 but got -1',
        ),
        (
            dict(flip_prob=2),
            r'`flip_prob` to be a number from 0 to 1 but got 2',
        ),
    ],
)
def test_arguments(sheets, arguments, message):
    with pytest.raises(ValueError, match=message):
        InMemoryCIFAR100(str(sheets), **arguments)


def test_every_picture_is_a_crop_of_its_own(sheets):
    dataset = InMemoryCIFAR100(str(sheets), padding=2, flip_prob=0.5)
    plain = InMemoryCIFAR100(str(sheets)).__getitems__(list(range(12)))
    padded = torch.nn.functional.pad(plain['inputs'], (2,) * 4)
    places = set()
    for seed in range(40):
        torch.manual_seed(seed)
        batch = dataset.__getitems__([7, 0, 11])
        labels = [int(s.gt_label) for s in batch['data_samples']]
        assert labels == [1, 0, 2]
        for index, image in zip([7, 0, 11], batch['inputs']):
            found = [
                (y, x, flip)
                for y in range(5)
                for x in range(5)
                for flip in (False, True)
                if torch.equal(
                    image.flip(2) if flip else image,
                    padded[index, :, y : y + 32, x : x + 32],
                )
            ]
            assert len(found) == 1
            places.update(found)
    # 120 draws of 50 places: all corners, and both ways round.
    assert {y for y, _, _ in places} == set(range(5))
    assert {x for _, x, _ in places} == set(range(5))
    assert {flip for _, _, flip in places} == {False, True}
    assert len(places) > 30


def test_same_as_a_library_makes_of_single_images(sheets):
    """Batches and single images lead to one input of the model."""
    dataset = InMemoryCIFAR100(str(sheets), 'test')
    assert FUNCTIONS.get('take_batch') is take_batch
    loader = DataLoader(dataset, batch_size=5, collate_fn=take_batch)
    preprocessor = ClsDataPreprocessor(mean=[1, 2, 3], std=[4, 5, 6])
    batches = [preprocessor(batch) for batch in loader]
    assert [len(batch['inputs']) for batch in batches] == [5, 5, 2]
    singles = [dataset[index] for index in range(12)]
    wanted = preprocessor(
        {key: [single[key] for single in singles] for key in singles[0]}
    )
    got = torch.cat([batch['inputs'] for batch in batches])
    torch.testing.assert_close(got, wanted['inputs'])
    samples = [s for batch in batches for s in batch['data_samples']]
    assert [int(s.gt_label) for s in samples] == [0] * 4 + [1] * 4 + [2] * 4


def test_samples_have_their_index(sheets):
    dataset = InMemoryCIFAR100(str(sheets), padding=2, flip_prob=0.5)
    samples = dataset.__getitems__([7, 0, 11])['data_samples']
    indices = [sample.sample_idx for sample in samples]
    assert indices == [7, 0, 11]
    assert {type(index) for index in indices} == {int}
    assert all('sample_idx' in s.metainfo_keys() for s in samples)
    assert dataset[5]['data_samples'].sample_idx == 5


def test_batches_can_be_repeated(sheets):
    """The augmentation of a resumed run is that of the whole one."""
    dataset = InMemoryCIFAR100(str(sheets), padding=4, flip_prob=0.5)
    seeded = SeededSamples(dataset, seed=3)
    first = seeded([1, 2])['inputs']
    other = seeded([2, 1])['inputs']
    torch.manual_seed(99)
    assert torch.equal(seeded([1, 2])['inputs'], first)
    seeded.epoch.fill_(1)
    later = seeded([1, 2])['inputs']
    assert not torch.equal(later, first)
    assert not torch.equal(other.flip(0), first)


def drawn_before(dataset, indices):
    """Crops as they were drawn before they had numbers, written out."""
    padding = dataset.padding
    corner = torch.randint(2 * padding + 1, (2, len(indices), 1))
    mirrored = torch.rand(len(indices), 1) < dataset.flip_prob
    found = []
    for index, y, x, flip in zip(indices, *corner[:, :, 0].tolist(), mirrored):
        image = dataset._images[index, :, y : y + 32, x : x + 32]
        found.append(image.flip(2) if flip else image)
    return torch.stack(found)


@pytest.mark.parametrize('padding, flip_prob', [(4, 0.5), (2, 0.0), (0, 1.0)])
def test_crops_are_still_drawn_from_the_same_numbers(
    sheets, padding, flip_prob
):
    dataset = InMemoryCIFAR100(
        str(sheets), padding=padding, flip_prob=flip_prob
    )
    indices = list(range(12))
    torch.manual_seed(5)
    wanted = drawn_before(dataset, indices), torch.rand(3)
    torch.manual_seed(5)
    found = dataset.__getitems__(indices)['inputs'], torch.rand(3)
    assert all(map(torch.equal, found, wanted))


@pytest.mark.parametrize(
    'padding, flip_prob, number',
    [(4, 0.5, 162), (2, 0.0, 25), (0, 0.5, 2), (0, 0.0, 1)],
)
def test_a_picture_comes_again_by_its_number(
    sheets, padding, flip_prob, number
):
    dataset = InMemoryCIFAR100(
        str(sheets), padding=padding, flip_prob=flip_prob
    )
    assert dataset.variants == number
    indices = [7, 0, 11] * 20
    batch = dataset.__getitems__(indices)
    samples = batch['data_samples']
    assert [sample.sample_idx for sample in samples] == indices
    variants = [sample.variant for sample in samples]
    assert 0 <= min(variants) <= max(variants) < number
    again = dataset.replay(indices, torch.tensor(variants))
    assert torch.equal(again['inputs'], batch['inputs'])
    labels = [int(sample.gt_label) for sample in again['data_samples']]
    assert labels == dataset.labels[indices].tolist()
    # All of one image differ.
    every = dataset.replay([3] * number, torch.arange(number))['inputs']
    assert len(every.flatten(1).unique(dim=0)) == number


def test_identity(sheets):
    settings = dict(padding=2, flip_prob=0.5)
    one, same = (InMemoryCIFAR100(str(sheets), **settings) for _ in range(2))
    assert one.identity() == same.identity()
    assert one.identity() == dict(
        data=hashlib.sha256(
            InMemoryCIFAR100(str(sheets))._images.numpy().tobytes()
            + one.labels.numpy().tobytes()
        ).hexdigest(),
        padding=2,
        flips=True,
    )
    same.labels[0] = 2
    assert one.identity()['data'] != same.identity()['data']
    other = InMemoryCIFAR100(str(sheets), 'test', padding=2)
    assert other.identity()['data'] == one.identity()['data']
    assert other.identity()['flips'] is False


def test_the_real_one():
    root = REAL / 'cifar100'
    if not root.is_dir():
        pytest.skip(f'there is no CIFAR-100 in {root}')
    dataset = InMemoryCIFAR100(str(root), 'test')
    batch = dataset.__getitems__(list(range(len(dataset))))
    assert batch['inputs'].shape == (10_000, 3, 32, 32)
    assert dataset.labels.bincount().tolist() == [100] * 100
    assert dataset.metainfo['classes'] == tuple(
        sorted(dataset.metainfo['classes'])
    )
    # Those of the test images, which are close to the published ones.
    means = batch['inputs'].double().mean((0, 2, 3)) / 255
    assert means.tolist() == pytest.approx([0.5071, 0.4867, 0.4408], abs=0.01)
