"""The digit scenes: valid COCO, the same every time, train apart from val."""

import hashlib
import json

import numpy as np
import pytest

pytest.importorskip('sklearn')
cv2 = pytest.importorskip('cv2')

import make_digits  # noqa: E402


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    out = tmp_path_factory.mktemp('digits')
    for split in make_digits.SPLITS:
        make_digits.make_split(out, split, num_images=12)
    return out


def read(data, split):
    return json.loads((data / 'annotations' / f'{split}.json').read_text())


def digests(folder):
    return {
        path.relative_to(folder): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob('*.*'))
    }


def test_same_bytes_every_time(data, tmp_path):
    for split in make_digits.SPLITS:
        make_digits.make_split(tmp_path, split, num_images=12)
    assert digests(tmp_path) == digests(data)
    assert len(digests(tmp_path)) == 3 * 13


def test_seed_and_split_change_every_scene(data, tmp_path):
    make_digits.make_split(tmp_path, 'train', num_images=12, seed=1)
    scenes = list(digests(data).values()) + list(digests(tmp_path).values())
    assert len(set(scenes)) == len(scenes)


def test_larger_split_begins_with_smaller(data, tmp_path):
    make_digits.make_split(tmp_path, 'val', num_images=3)
    larger = digests(data)
    for path, digest in digests(tmp_path).items():
        if path.suffix == '.png':
            assert larger[path] == digest


def test_pools_share_no_scan(data):
    scans = {
        split: {a['scan'] for a in read(data, split)['annotations']}
        for split in make_digits.SPLITS
    }
    assert not scans['val'] & (scans['train'] | scans['extra'])
    _, _, train = make_digits.load_scans('train')
    _, _, val = make_digits.load_scans('val')
    assert sorted([*train, *val]) == list(range(1797))
    assert scans['train'] <= set(train) and scans['val'] <= set(val)


def test_labels_are_those_of_the_scans(data):
    from sklearn.datasets import load_digits

    target = load_digits().target
    for annotation in read(data, 'train')['annotations']:
        assert annotation['category_id'] == target[annotation['scan']] + 1


def test_pycocotools_reads_it(data):
    coco = pytest.importorskip('pycocotools.coco')
    truth = coco.COCO(str(data / 'annotations' / 'val.json'))
    assert [c['name'] for c in truth.loadCats(truth.getCatIds())] == list(
        '0123456789'
    )
    assert len(truth.getImgIds()) == 12
    for image in truth.loadImgs(truth.getImgIds()):
        pixels = cv2.imread(str(data / 'val' / image['file_name']))
        assert pixels.shape == (image['height'], image['width'], 3)
        assert truth.getAnnIds(imgIds=image['id'])


def test_boxes_lie_inside_and_hold_a_digit(data):
    for split in make_digits.SPLITS:
        content = read(data, split)
        ids = [a['id'] for a in content['annotations']]
        assert len(set(ids)) == len(ids)
        for annotation in content['annotations']:
            x, y, w, h = annotation['bbox']
            assert min(x, y) >= 0
            assert x + w <= make_digits.IMAGE_SIZE
            assert y + h <= make_digits.IMAGE_SIZE
            assert w >= 2 and h >= 5
            assert annotation['area'] == w * h
            assert annotation['iscrowd'] == 0


def test_scene_has_a_digit_where_it_says():
    scans, labels, _ = make_digits.load_scans('val')
    blank = np.zeros_like(scans)
    _, none = make_digits.make_scene(np.random.default_rng(0), blank, labels)
    _, some = make_digits.make_scene(np.random.default_rng(0), scans, labels)
    assert none == []
    assert len(some) >= 2


@pytest.mark.parametrize(
    'call, message',
    [
        (lambda out: make_digits.make_split(out, 'test'), "got 'test'"),
        (lambda out: make_digits.load_scans('extra'), "got 'extra'"),
    ],
)
def test_refuses_unknown_names(tmp_path, call, message):
    with pytest.raises(ValueError, match=message):
        call(tmp_path)
