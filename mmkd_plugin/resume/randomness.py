"""Random numbers that depend only on the seed and the position in training.

A resumed run equals an uninterrupted one only if it draws the same numbers.
Saving generator states would be needed for every rank and every loader
worker, some batches ahead.  Instead the generators are seeded anew for every
iteration and every sample, with a hash of the run's seed and the position, as
counter-based generators do.
"""

import hashlib
import random

import numpy as np
import torch
from mmengine.device import get_device


def seed_by(*place) -> None:
    """Seed Python, NumPy and torch with a hash of a position.

    Args:
        *place: Numbers and strings.
    """
    digest = hashlib.blake2b(repr(place).encode(), digest_size=4).digest()
    seed = int.from_bytes(digest, 'little')
    random.seed(seed)
    np.random.seed(seed)
    _seed_torch(seed)


def _seed_torch(seed: int) -> None:
    """``torch.manual_seed`` for the generators that are in use.

    The original formats the stack once per device type that is not in use,
    which takes a hundred times as long as seeding.
    """
    if get_device() not in ('cpu', 'cuda'):
        torch.manual_seed(seed)
        return
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)


class SeededSamples:
    """A dataset's ``__getitems__`` that seeds each sample separately.

    The random numbers depend on the seed, the epoch and the index, but not on
    the samples or the worker before.  torch's data loader calls
    ``__getitems__`` if a dataset has it, in its workers too.  If the class of
    the dataset has one itself, which makes whole batches, each batch is
    seeded separately.

    Args:
        dataset: The dataset.
        seed: Seed of the run.
    """

    def __init__(self, dataset, seed: int) -> None:
        self.dataset = dataset
        self.seed = seed
        # Shared with workers that persist between epochs.
        self.epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    def __call__(self, indices):
        epoch = int(self.epoch)
        make_batch = getattr(type(self.dataset), '__getitems__', None)
        if make_batch is not None:
            seed_by('batch', self.seed, epoch, *indices)
            return make_batch(self.dataset, indices)
        samples = []
        for index in indices:
            seed_by('sample', self.seed, epoch, index)
            samples.append(self.dataset[index])
        return samples
