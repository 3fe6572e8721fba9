"""CIFAR-100, decoded once and augmented per batch."""

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
            ``gt_label`` and, in their metainfo, ``sample_idx``.
        """
        # Not at the top: importing the plugin must not need mmpretrain.
        from mmpretrain.structures import DataSample

        labels = self.labels[indices].unsqueeze(1)
        samples = [DataSample(gt_label=label) for label in labels]
        for sample, index in zip(samples, indices):
            # Not `set_metainfo`, which costs a deep copy.
            sample.set_field(int(index), 'sample_idx', field_type='metainfo')
        return dict(
            inputs=self._crops(torch.as_tensor(indices)),
            data_samples=samples,
        )

    def _crops(self, indices: Tensor) -> Tensor:
        """Crop the images from their padding, some of them flipped."""
        if not self.padding and not self.flip_prob:
            return self._images[indices]
        corner = torch.randint(2 * self.padding + 1, (2, len(indices), 1))
        rows, columns = corner + torch.arange(SIZE)
        mirrored = torch.rand(len(indices), 1) < self.flip_prob
        columns = torch.where(mirrored, columns.flip(1), columns)
        # Flat index of each pixel: `take` costs a quarter of indexing by four
        # tensors.
        side = SIZE + 2 * self.padding
        planes = 3 * indices[:, None] + torch.arange(3)
        lines = side * planes[:, :, None] + rows[:, None]
        return self._images.take(
            side * lines[..., None] + columns[:, None, None]
        )
