"""CIFAR-100, decoded once and augmented per batch."""

import hashlib
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.registry import DATASETS, FUNCTIONS
from torch import Tensor
from torch.utils.data import Dataset

from ..arguments import (
    check_choice,
    check_integer,
    check_number,
    check_path,
)
from .cifar100_files import SIZE, read_cifar100


@FUNCTIONS.register_module()
def take_batch(batch: dict) -> dict:
    """Collate function for a data set that returns whole batches.

    Args:
        batch: Result of its ``__getitems__``.

    Returns:
        ``batch``.
    """
    return batch


@DATASETS.register_module()
class InMemoryCIFAR100(Dataset):
    """CIFAR-100 as one tensor, from which whole batches are taken.

    For images of 32 x 32 pixels, a pipeline per image costs more than a small
    network.  Here a batch is one indexing of a tensor, which also pads, crops
    and flips.  It needs ``collate_fn=dict(type='take_batch')`` in the data
    loader, and no workers, because there is hardly any work.

    Args:
        data_root: See
            :func:`~mmkd_plugin.datasets.cifar100_files.read_cifar100`.
        split: 'train' or 'test'.
        padding: Pixels of zeros around an image, from which a random 32 x 32
            is cropped; 0: no cropping.
        flip_prob: Probability of a horizontal flip, in [0, 1].

    Raises:
        FileNotFoundError, ValueError: If the data is missing or damaged, or
            an argument is out of range.

    Example:
        >>> train = InMemoryCIFAR100(root, 'train', padding=4, flip_prob=0.5)
        >>> train.__getitems__([3, 5])['inputs'].shape
        torch.Size([2, 3, 32, 32])
    """

    def __init__(
        self,
        data_root: str,
        split: str = 'train',
        padding: int = 0,
        flip_prob: float = 0.0,
    ) -> None:
        check_path('data_root', data_root, 'the path of a folder')
        check_choice('split', split, 'train', 'test')
        check_integer('padding', padding, 0, 256)
        check_number('flip_prob', flip_prob, 0, 1)
        images, labels, classes = read_cifar100(data_root, split)
        self.metainfo = dict(classes=classes)
        self.labels = torch.from_numpy(labels)
        self.padding = padding
        self.flip_prob = flip_prob
        # Padded once; the crops of a batch are then only indices.
        self._images = F.pad(torch.from_numpy(images), (padding,) * 4)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict:
        """One image, as from mmpretrain's ``PackInputs``."""
        batch = self.__getitems__([index])
        return {key: value[0] for key, value in batch.items()}

    def __getitems__(self, indices: list[int]) -> dict:
        """A batch for mmpretrain's ``ClsDataPreprocessor``.

        Args:
            indices: Indices of N images.

        Returns:
            ``inputs``, uint8 RGB (N, 3, 32, 32), and N ``data_samples`` with
            ``gt_label`` and, as metainfo, ``sample_idx``, the index of the
            image, and ``variant``, see :meth:`replay`.
        """
        return self.replay(indices, self._draw(len(indices)))

    @property
    def variants(self) -> int:
        """How many different pictures an image gives: crops, flipped or not.

        162 for a padding of 4 pixels and flips.
        """
        return (2 * self.padding + 1) ** 2 * (2 if self.flip_prob else 1)

    def _draw(self, number: int) -> Tensor:
        """Draw variants at random, (number,)."""
        if not self.padding and not self.flip_prob:
            return torch.zeros(number, dtype=torch.int64)
        places = 2 * self.padding + 1
        top, left = torch.randint(places, (2, number, 1)).squeeze(2)
        mirrored = torch.rand(number, 1).squeeze(1) < self.flip_prob
        return top * places + left + places**2 * mirrored

    def replay(self, indices: Sequence[int], variants: Tensor) -> dict:
        """A batch of given variants.

        Args:
            indices: Indices of N images.
            variants: For each its variant, (N,), int64: the crop's upper left
                corner in the padded image, (y, x), as y times the number of
                places plus x, and the square of that number more if flipped.

        Returns:
            As :meth:`__getitems__`.
        """
        # Not at the top: importing the plugin must not need mmpretrain.
        from mmpretrain.structures import DataSample

        samples = []
        for index, variant, label in zip(
            indices, variants.tolist(), self.labels[indices].unsqueeze(1)
        ):
            sample = DataSample(gt_label=label)
            # A third of the time of the constructor's `metainfo`.
            for name, value in (('sample_idx', index), ('variant', variant)):
                sample.set_field(value, name, field_type='metainfo')
            samples.append(sample)
        images = self._crops(torch.as_tensor(indices), variants)
        return dict(inputs=images, data_samples=samples)

    def identity(self) -> dict:
        """What tells its pictures from those of another data set.

        Returns:
            Name of each setting to its value, for JSON; a SHA-256 of images
            and labels among them.
        """
        inner = slice(self.padding, self.padding + SIZE)
        images = self._images[..., inner, inner].contiguous()
        digest = hashlib.sha256(images.numpy().data)
        digest.update(self.labels.numpy().data)
        return dict(
            data=digest.hexdigest(),
            padding=self.padding,
            flips=bool(self.flip_prob),
        )

    def _crops(self, indices: Tensor, variants: Tensor) -> Tensor:
        """Crop the images from their padding, some of them flipped."""
        if not self.padding and not self.flip_prob:
            return self._images[indices]
        places = 2 * self.padding + 1
        corner = variants.unsqueeze(1) % places**2
        rows = corner // places + torch.arange(SIZE)
        columns = corner % places + torch.arange(SIZE)
        mirrored = variants.unsqueeze(1) >= places**2
        columns = torch.where(mirrored, columns.flip(1), columns)
        # Flat index of each pixel: `take` costs a quarter of indexing by four
        # tensors.
        side = SIZE + 2 * self.padding
        planes = 3 * indices[:, None] + torch.arange(3)
        lines = side * planes[:, :, None] + rows[:, None]
        return self._images.take(
            side * lines[..., None] + columns[:, None, None]
        )
