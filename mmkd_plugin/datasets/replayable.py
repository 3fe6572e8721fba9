"""Training data whose augmented pictures have numbers."""

import hashlib
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ..exceptions import MMKDTypeError
from .replayed_crop import ReplayedResizedCrop

# Transforms that make the same of an image each time.
FIXED = (
    'CenterCrop',
    'LoadImageFromFile',
    'PackInputs',
    'Resize',
    'ResizeEdge',
)
# Files of a data set that are read for its identity.
FILES = 64
ADVICE = (
    ': train with InMemoryCIFAR100, or with one data set with a pipeline of '
    'LoadImageFromFile, ReplayedResizedCrop and PackInputs, whose '
    '`meta_keys` name sample_idx and variant, or take `cache` out of '
    '`teacher`.'
)


def replayable(dataset: Any) -> Any:
    """A data set whose augmented pictures can be made again by their number.

    Args:
        dataset: Training data.

    Returns:
        Something with a length and

        * ``variants``: how many pictures there are of each image;
        * ``replay(indices, variants)``: a batch of given pictures;
        * ``identity()``: a dict for JSON that tells them from others.

    Raises:
        TypeError: If it has random transforms without numbers.
    """
    if hasattr(dataset, 'replay'):
        return dataset
    pipeline = getattr(getattr(dataset, 'pipeline', None), 'transforms', ())
    crops = [x for x in pipeline if isinstance(x, ReplayedResizedCrop)]
    others = [
        type(x).__name__
        for x in pipeline
        if x not in crops and type(x).__name__ not in FIXED
    ]
    missing = {'sample_idx', 'variant'}
    missing -= {*getattr(pipeline[-1] if pipeline else 0, 'meta_keys', ())}
    reason = ''
    if len(crops) != 1:
        reason = f'{len(crops)} ReplayedResizedCrop in its pipeline'
    elif others:
        reason = f'{others[0]} in its pipeline'
    elif missing:
        reason = f'no {min(missing)} in the `meta_keys` of PackInputs'
    if reason:
        raise MMKDTypeError(
            'The logits of augmented images can be cached only if the same '
            f'ones come again, but the training data '
            f'({type(dataset).__name__}) has {reason}{ADVICE}'
        )
    return ReplayedImages(dataset, crops[0])


class ReplayedImages:
    """A data set of MMPretrain with a :class:`.ReplayedResizedCrop`.

    Args:
        dataset: The data set.
        crop: The transform in its pipeline.
    """

    def __init__(self, dataset: Any, crop: ReplayedResizedCrop) -> None:
        self.dataset = dataset
        self.variants = crop.views

    def __len__(self) -> int:
        return len(self.dataset)

    def replay(self, indices: Sequence[int], variants: Tensor) -> dict:
        """A batch of given pictures, as the data loader makes it."""
        samples = [
            self.dataset.pipeline(
                {**self.dataset.get_data_info(index), 'variant': variant}
            )
            for index, variant in zip(indices, variants.tolist())
        ]
        return {key: [x[key] for x in samples] for key in samples[0]}

    def identity(self) -> dict:
        """What tells the pictures from others.

        Names and labels of all images, the content of some, the pipeline, and
        the versions of what decodes and resizes them.
        """
        digest = hashlib.sha256()
        root = str(getattr(self.dataset, 'data_root', '') or '')
        whole = np.linspace(0, len(self) - 1, min(FILES, len(self)), dtype=int)
        opened = set(whole.tolist())
        for index in range(len(self)):
            info = self.dataset.get_data_info(index)
            path = str(info.get('img_path', ''))
            name = path.removeprefix(root).lstrip('/')
            digest.update(f'{name}\n{info.get("gt_label")}\n'.encode())
            if index in opened and path:
                digest.update(Path(path).read_bytes())
        steps = self.dataset.pipeline.transforms
        return dict(
            data=digest.hexdigest(),
            pipeline=[' '.join(repr(step).split()) for step in steps],
            decoders={
                name: importlib.import_module(name).__version__
                for name in ('cv2', 'mmcv', 'PIL')
            },
        )
