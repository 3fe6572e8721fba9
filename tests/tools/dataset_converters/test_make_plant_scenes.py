"""Scenes of plants: valid COCO, the same every time, each plant once."""

import hashlib
import json

import numpy as np
import pytest

cv2 = pytest.importorskip('cv2')

import make_plant_scenes as scenes  # noqa: E402

# Images of a class in a split of the stand-in for CIFAR-100.
EACH = dict(train=8, test=10)


def read_cifar100(root, split):
    """Noise in the classes that are used, and in one more."""
    names = tuple(sorted([*scenes.CLASSES, *scenes.LANDSCAPES, 'worm']))
    labels = np.arange(len(names)).repeat(EACH[split])
    rng = np.random.default_rng(len(split))
    shape = (len(labels), 3, 32, 32)
    return rng.integers(0, 256, shape, dtype=np.uint8), labels, names


@pytest.fixture
def make(monkeypatch, tmp_path):
    monkeypatch.setattr(scenes, 'read_cifar100', read_cifar100)

    def make(name='a', seed=0):
        out = tmp_path / name
        for split in scenes.SPLITS:
            scenes.make_split('anywhere', out, split, seed)
        return out

    return make


def digests(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(
            path.read_bytes()
        ).hexdigest()
        for path in folder.rglob('*.*')
    }


def test_the_seed_decides_everything(make):
    first, second, other = make('a'), make('b'), make('c', seed=1)
    assert digests(first) == digests(second)
    annotations = 'annotations/train.json'
    assert digests(first)[annotations] != digests(other)[annotations]


def test_boxes_and_classes(make):
    out = make()
    for split, (count, *_) in scenes.SPLITS.items():
        content = json.loads((out / f'annotations/{split}.json').read_text())
        assert len(content['images']) == count
        assert [c['name'] for c in content['categories']] == [*scenes.CLASSES]
        ids = [found['id'] for found in content['annotations']]
        assert ids == [*range(1, len(ids) + 1)]
        for found in content['annotations']:
            x, y, width, height = found['bbox']
            assert min(x, y) >= 0
            assert max(x + width, y + height) <= scenes.SIDE
            assert found['area'] == width * height
            low, high = scenes.SIZES
            assert low <= min(width, height) <= max(width, height) < high
            assert 1 <= found['category_id'] <= len(scenes.CLASSES)
        path = out / split / content['images'][0]['file_name']
        assert cv2.imread(str(path)).shape == (scenes.SIDE, scenes.SIDE, 3)


def test_each_plant_is_used_once_and_splits_share_none(make):
    out = make()
    count = {
        split: len(
            json.loads((out / f'annotations/{split}.json').read_text())[
                'annotations'
            ]
        )
        for split in scenes.SPLITS
    }
    # All of the few are used: 8 classes of 8, of 4 and of 6 images.
    assert count == dict(train=64, val=32, test=48)


def test_what_is_pasted_is_the_photograph(make):
    out = make()
    content = json.loads((out / 'annotations/train.json').read_text())
    found = content['annotations'][0]
    x, y, width, height = found['bbox']
    canvas = cv2.imread(str(out / 'train/00001.png'))[..., ::-1]
    images, labels, names = read_cifar100('', 'train')
    label = names.index(scenes.CLASSES[found['category_id'] - 1])
    patches = [
        cv2.resize(image.transpose(1, 2, 0), (width, height))
        for image in images[labels == label]
    ]
    pasted = canvas[y : y + height, x : x + width].astype(int)
    nearest = min(np.abs(pasted - patch).mean() for patch in patches)
    assert nearest < 5


def test_missing_cifar100_is_one_sentence(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(
        'sys.argv',
        ['make', str(tmp_path / 'none'), '--out', str(tmp_path / 'out')],
    )
    with pytest.raises(SystemExit) as error:
        scenes.main()
    assert 'CIFAR-100 was not found' in f'{error.value}{capsys.readouterr()}'
    assert not (tmp_path / 'out').exists()
