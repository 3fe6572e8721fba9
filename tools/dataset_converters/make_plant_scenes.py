#!/usr/bin/env python
"""Make scenes of plants from CIFAR-100, in COCO format.

Each scene is a landscape of CIFAR-100, enlarged, with some photographs of
fruits, flowers and a mushroom pasted on it. Where the plants are is easy to
see, which ones they are is not: the opposite of blood cells. Scenes of
`train` are built from the training images of CIFAR-100, those of `val` and
`test` from its test images, of which they share none; every photograph of a
plant is used once.

The same arguments give the same files.

    python tools/dataset_converters/make_plant_scenes.py data/cifar100 \
        --out data/plants
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np

from mmkd_plugin.cli.errors import explain_errors
from mmkd_plugin.cli.progress import track
from mmkd_plugin.datasets.cifar100_files import read_cifar100
from mmkd_plugin.exceptions import MMKDOSError

CLASSES = (
    'apple',
    'mushroom',
    'orange',
    'orchid',
    'pear',
    'poppy',
    'sunflower',
    'sweet_pepper',
)
LANDSCAPES = ('cloud', 'forest', 'mountain', 'plain', 'road', 'sea')
# Scenes of a split, the images of CIFAR-100 that it takes, and which part of
# them, as fractions.
SPLITS = dict(
    train=(1000, 'train', 0, 1),
    val=(120, 'test', 0, 0.4),
    test=(180, 'test', 0.4, 1),
)
SIDE = 128
# Plants in a scene, and their height and width in pixels.
PLANTS = (4, 9)
SIZES = (20, 40)


def photographs(root, split, begin, end, rng):
    """Plants in random order, and landscapes, of a part of CIFAR-100.

    Args:
        root (str): Its folder.
        split (str): 'train' or 'test'.
        begin, end (float): The part, between 0 and 1.
        rng (np.random.Generator): Decides the order.

    Returns:
        tuple[list, list]: Plants, (class, image) each, and landscapes,
        images; images are RGB, uint8 (32, 32, 3).
    """
    images, labels, names = read_cifar100(root, split)
    images = images.transpose(0, 2, 3, 1)

    def of(name):
        found = images[labels == names.index(name)]
        return found[int(begin * len(found)) : int(end * len(found))]

    plants = [
        (index, image)
        for index, name in enumerate(CLASSES)
        for image in of(name)
    ]
    rng.shuffle(plants)
    return plants, [image for name in LANDSCAPES for image in of(name)]


def make_scene(rng, plants, landscape):
    """One scene.

    Args:
        rng (np.random.Generator): The only source of randomness.
        plants (list): What :func:`photographs` gives; those that find a
            place are taken from its end.
        landscape (np.ndarray): RGB, (32, 32, 3).

    Returns:
        tuple[np.ndarray, list]: RGB, uint8 (SIDE, SIDE, 3); class and box [x,
        y, width, height] in pixels of each plant.
    """
    canvas = cv2.resize(landscape, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    taken = np.zeros((SIDE, SIDE), bool)
    objects = []
    for _ in range(rng.integers(*PLANTS)):
        width, height = (int(x) for x in rng.integers(*SIZES, 2))
        x = int(rng.integers(SIDE - width + 1))
        y = int(rng.integers(SIDE - height + 1))
        place = slice(y, y + height), slice(x, x + width)
        # Few photographs cover one another, and only a little.
        if not plants or taken[place].mean() > 0.1:
            continue
        label, image = plants.pop()
        canvas[place] = cv2.resize(image, (width, height))
        taken[place] = True
        objects.append((label, [x, y, width, height]))
    return canvas, objects


def make_split(root, out, split, seed):
    """Write `OUT/SPLIT/*.png` and `OUT/annotations/SPLIT.json`.

    Args:
        root (str): Folder of CIFAR-100.
        out (Path): Folder of the data set.
        split (str): A key of `SPLITS`.
        seed (int): Of the data set.

    Returns:
        tuple[int, int]: Numbers of scenes and plants.
    """
    count, source, begin, end = SPLITS[split]
    rng = np.random.default_rng([seed, list(SPLITS).index(split)])
    plants, landscapes = photographs(root, source, begin, end, rng)
    for folder in (out / split, out / 'annotations'):
        folder.mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for index in track(range(1, count + 1), f'drawing {split}'):
        landscape = landscapes[rng.integers(len(landscapes))]
        canvas, objects = make_scene(rng, plants, landscape)
        path = out / split / f'{index:05d}.png'
        if not cv2.imwrite(str(path), canvas[..., ::-1]):
            raise MMKDOSError(
                f'Could not write {path}: check that the disk has room.'
            )
        images.append(
            dict(id=index, file_name=path.name, width=SIDE, height=SIDE)
        )
        annotations += [
            dict(
                id=len(annotations) + number,
                image_id=index,
                category_id=label + 1,
                bbox=box,
                area=box[2] * box[3],
                iscrowd=0,
            )
            for number, (label, box) in enumerate(objects, 1)
        ]
    content = dict(
        images=images,
        annotations=annotations,
        categories=[
            dict(id=number, name=name)
            for number, name in enumerate(CLASSES, 1)
        ],
    )
    (out / 'annotations' / f'{split}.json').write_text(json.dumps(content))
    return len(images), len(annotations)


@explain_errors()
def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('cifar100', help='folder of CIFAR-100')
    parser.add_argument(
        '--out', type=Path, default=Path('data/plants'), help='folder to fill'
    )
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    for split in SPLITS:
        scenes, plants = make_split(args.cifar100, args.out, split, args.seed)
        print(f'{split}: {scenes} scenes, {plants} plants')


if __name__ == '__main__':
    main()
