"""Make the demo data set: scenes of real handwritten digits, COCO format.

The digits are the 1797 scans of 8 x 8 pixels that scikit-learn ships
(`sklearn.datasets.load_digits`). Every scene holds several of them, at
varied scale, slant and contrast, partly overlapping, among clutter made of
digit fragments and strokes. The scenes of `train` and `val` are built from
disjoint sets of scans.

The same arguments give the same files: each scene has its own NumPy generator,
seeded by (seed, split, index), so that a larger split begins with the scenes
of a smaller one.

    python tools/quickstart/make_digits.py --out data/digits
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np

from mmkd_plugin.cli.errors import explain_errors
from mmkd_plugin.cli.progress import track
from mmkd_plugin.exceptions import MMKDOSError, MMKDValueError

CLASSES = tuple('0123456789')
IMAGE_SIZE = 160
# Images per split, and the pool of scans it draws from. The demo teacher
# trains on `extra`: more scenes, from the scans of `train`.
SPLITS = dict(train=(400, 'train'), val=(250, 'val'), extra=(4000, 'train'))
VAL_SHARE = 1 / 3


def load_scans(pool, seed=0):
    """The scans of one pool.

    Args:
        pool (str): 'train' or 'val'; they share no scan.
        seed (int): Decides which scans go where.

    Returns:
        tuple[np.ndarray, np.ndarray, np.ndarray]: Scans (M, 8, 8) in [0, 1],
        labels (M,) in [0, 9], and indices (M,) of the scans in `load_digits`.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = np.random.default_rng([seed, 99]).permutation(len(digits.target))
    n_val = int(len(order) * VAL_SHARE)
    if pool not in ('train', 'val'):
        raise MMKDValueError(
            f"Expected pool 'train' or 'val' but got {pool!r}."
        )
    rows = np.sort(order[:n_val] if pool == 'val' else order[n_val:])
    return (
        (digits.images[rows] / 16).astype(np.float32),
        digits.target[rows].astype(int),
        rows,
    )


def _sample(image, x, y):
    """Bilinear values of `image` at float coordinates, zero outside."""
    padded = np.pad(image, 2)
    x = np.clip(x + 2, 0, padded.shape[1] - 1.001)
    y = np.clip(y + 2, 0, padded.shape[0] - 1.001)
    x0, y0 = x.astype(int), y.astype(int)
    fx, fy = x - x0, y - y0
    top = padded[y0, x0] * (1 - fx) + padded[y0, x0 + 1] * fx
    low = padded[y0 + 1, x0] * (1 - fx) + padded[y0 + 1, x0 + 1] * fx
    return top * (1 - fy) + low * fy


def _warp(rng, scan, height):
    """Opacity map of a scan in [0, 1], slanted and `height` pixels high."""
    angle = rng.uniform(-0.3, 0.3)
    shear = rng.uniform(-0.3, 0.3)
    stretch = rng.uniform(0.75, 1.3)
    scale = scan.shape[0] / height
    side = int(height * 1.8)
    grid = np.arange(side) - (side - 1) / 2
    u, v = np.meshgrid(grid * scale / stretch, grid * scale)
    u, v = (
        u * np.cos(angle) - v * np.sin(angle),
        u * np.sin(angle) + v * np.cos(angle),
    )
    center = (scan.shape[0] - 1) / 2
    alpha = _sample(scan, u + shear * v + center, v + center)
    # A random cut turns the blurred scan into a thin or a bold stroke.
    cut = rng.uniform(0.25, 0.55)
    return np.clip((alpha - cut) * rng.uniform(3, 8) + 0.5, 0, 1)


def _background(rng, size):
    """Smooth colour field (size, size, 3) in [0, 255]."""
    coarse = rng.uniform(-1, 1, (5, 5, 3))
    grid = np.linspace(2, 6, size) - 2
    x, y = np.meshgrid(grid, grid)
    field = np.stack(
        [
            _sample(np.pad(coarse[..., c], 1, mode='edge'), x + 1, y + 1)
            for c in range(3)
        ],
        axis=-1,
    )
    return rng.uniform(60, 195) + rng.uniform(10, 45) * field


def _paint(canvas, alpha, left, top, color):
    """Blend `color` into `canvas` by `alpha`, in place, clipped."""
    size = canvas.shape[0]
    x0, y0 = max(left, 0), max(top, 0)
    x1 = min(left + alpha.shape[1], size)
    y1 = min(top + alpha.shape[0], size)
    if x1 <= x0 or y1 <= y0:
        return
    part = alpha[y0 - top : y1 - top, x0 - left : x1 - left, None]
    canvas[y0:y1, x0:x1] += part * (color - canvas[y0:y1, x0:x1])


def _color(rng, canvas, left, top, contrast):
    """A colour that differs from the canvas around a point by `contrast`."""
    size = canvas.shape[0]
    here = canvas[min(max(top, 0), size - 1), min(max(left, 0), size - 1)]
    sign = rng.choice([-1, 1])
    if not 20 < here.mean() + sign * contrast < 235:
        sign = -sign
    return np.clip(here + sign * contrast + rng.uniform(-25, 25, 3), 0, 255)


def _clutter(rng, canvas, scans, count):
    """Paint strokes and scrambled digit fragments, in place."""
    size = canvas.shape[0]
    for _ in range(count):
        left, top = rng.integers(-10, size - 10, 2)
        color = _color(rng, canvas, left + 8, top + 8, rng.uniform(20, 90))
        if rng.random() < 0.6:
            # Halves of two scans, one mirrored: strokes like those of a
            # digit that form none.
            a, b = scans[rng.integers(len(scans), size=2)]
            scan = np.concatenate([a[:4], b[4:, ::-1]])[:, :, None]
            scan = np.rot90(scan[..., 0]) * (rng.random((8, 8)) < 0.85)
            alpha = _warp(rng, scan, rng.uniform(12, 40))
        else:
            length, angle = rng.uniform(8, 50), rng.uniform(0, np.pi)
            grid = np.arange(56) - 27.5
            u, v = np.meshgrid(grid, grid)
            along = u * np.cos(angle) + v * np.sin(angle)
            across = v * np.cos(angle) - u * np.sin(angle)
            alpha = np.clip(rng.uniform(1, 3) - np.abs(across), 0, 1) * (
                np.abs(along) < length / 2
            )
        _paint(canvas, alpha, int(left), int(top), color)


def _overlap(box, boxes):
    """Largest intersection with one of `boxes`, over the smaller area."""
    worst = 0.0
    for other in boxes:
        w = min(box[0] + box[2], other[0] + other[2]) - max(box[0], other[0])
        h = min(box[1] + box[3], other[1] + other[3]) - max(box[1], other[1])
        if w > 0 and h > 0:
            smaller = min(box[2] * box[3], other[2] * other[3])
            worst = max(worst, w * h / smaller)
    return worst


def make_scene(rng, scans, labels, size=IMAGE_SIZE):
    """One scene.

    Args:
        rng (np.random.Generator): The only source of randomness.
        scans (np.ndarray): Scans to draw from, (M, 8, 8) in [0, 1].
        labels (np.ndarray): Their digits, (M,).
        size (int): Side of the scene in pixels.

    Returns:
        tuple[np.ndarray, list[tuple[list[int], int, int]]]: Image
        (size, size, 3), uint8; and for every digit its box [x, y, w, h] in
        pixels, inside the image, its label and the index of its scan.
    """
    canvas = _background(rng, size)
    _clutter(rng, canvas, scans, rng.integers(4, 10))
    objects = []
    for _ in range(rng.integers(4, 10)):
        row = int(rng.integers(len(scans)))
        height = np.exp(rng.uniform(np.log(13), np.log(48)))
        alpha = _warp(rng, scans[row], height)
        ys, xs = np.nonzero(alpha > 0.5)
        if len(xs) < 12:
            continue
        alpha = alpha[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
        h, w = alpha.shape
        for _ in range(8):
            left = int(rng.integers(0, size - w))
            top = int(rng.integers(0, size - h))
            box = [left, top, w, h]
            if _overlap(box, [o[0] for o in objects]) < 0.3:
                color = _color(
                    rng,
                    canvas,
                    left + w // 2,
                    top + h // 2,
                    np.exp(rng.uniform(np.log(28), np.log(130))),
                )
                _paint(canvas, alpha, left, top, color)
                objects.append((box, int(labels[row]), row))
                break
    _clutter(rng, canvas, scans * 0.7, rng.integers(0, 3))
    canvas += rng.normal(0, rng.uniform(4, 16), canvas.shape)
    return np.clip(np.rint(canvas), 0, 255).astype(np.uint8), objects


def make_split(out, split, num_images=None, seed=0):
    """Write `out/{split}/*.png` and `out/annotations/{split}.json`.

    Args:
        out (str | Path): The data set's folder.
        split (str): A key of `SPLITS`.
        num_images (int, optional): Scenes to make (default: the split's).
        seed (int): The data set's seed.

    Returns:
        Path: The annotation file, COCO format. Each annotation also has the
        index of its scan in `load_digits`, as `scan`.
    """
    if split not in SPLITS:
        raise MMKDValueError(
            f'Expected split to be one of {list(SPLITS)} but got {split!r}.'
        )
    default, pool = SPLITS[split]
    num_images = default if num_images is None else num_images
    scans, labels, rows = load_scans(pool, seed)
    out = Path(out)
    (out / split).mkdir(parents=True, exist_ok=True)
    (out / 'annotations').mkdir(exist_ok=True)
    images, annotations = [], []
    for index in track(range(num_images), f'drawing {split}'):
        rng = np.random.default_rng([seed, list(SPLITS).index(split), index])
        image, objects = make_scene(rng, scans, labels)
        name = f'{index:05d}.png'
        if not cv2.imwrite(str(out / split / name), image):
            raise MMKDOSError(
                f'Could not write {out / split / name}: check that '
                'the disk has room.'
            )
        images.append(
            dict(
                id=index + 1,
                file_name=name,
                width=IMAGE_SIZE,
                height=IMAGE_SIZE,
            )
        )
        for box, label, row in objects:
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=index + 1,
                    category_id=label + 1,
                    bbox=box,
                    area=box[2] * box[3],
                    iscrowd=0,
                    scan=int(rows[row]),
                )
            )
    path = out / 'annotations' / f'{split}.json'
    path.write_text(
        json.dumps(
            dict(
                info=dict(
                    description='Scenes of handwritten digits', seed=seed
                ),
                images=images,
                annotations=annotations,
                categories=[
                    dict(id=i + 1, name=name) for i, name in enumerate(CLASSES)
                ],
            )
        )
    )
    return path


@explain_errors()
def main():
    parser = argparse.ArgumentParser(
        description=__doc__.split('\n')[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument('--out', default='data/digits', help='folder to fill')
    parser.add_argument(
        '--splits', nargs='+', default=['train', 'val'], choices=list(SPLITS)
    )
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    for split in args.splits:
        path = make_split(args.out, split, seed=args.seed)
        count = len(json.loads(path.read_text())['annotations'])
        print(f'{split}: {SPLITS[split][0]} images, {count} digits -> {path}')


if __name__ == '__main__':
    main()
