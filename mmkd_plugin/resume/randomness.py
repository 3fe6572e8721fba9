"""Random numbers that depend on where in the training they are drawn.

A resumed run repeats an uninterrupted one only if it draws the same numbers.
States of random number generators would have to be kept for every process
and every loading worker, some batches ahead.  Here there is no state: the
generators are seeded anew for every iteration and every sample, by a hash of
the run's seed and the place, as counter-based generators do.
"""

import hashlib
import random

import numpy as np
import torch
from mmengine.device import get_device


def seed_by(*place) -> None:
    """Seed the generators of Python, NumPy and torch by a hash of a place.

    Args:
        *place: Numbers and strings.
    """
    digest = hashlib.blake2b(repr(place).encode(), digest_size=4).digest()
    seed = int.from_bytes(digest, 'little')
    random.seed(seed)
    np.random.seed(seed)
    _seed_torch(seed)


def _seed_torch(seed: int) -> None:
    """What ``torch.manual_seed`` does, for generators that are in use.

    That formats the stack once for each kind of device that is not, which
    takes a hundred times as long as seeding.
    """
    if get_device() not in ('cpu', 'cuda'):
        torch.manual_seed(seed)
        return
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)


class SeededSamples:
    """A dataset's ``__getitems__``: each sample has numbers of its own.

    They depend on the seed, the epoch and the index, and on nothing that was
    loaded before or by whom.  torch's data loader calls ``__getitems__``
    wherever a dataset has it, in its workers too.  Of a dataset that has one
    by itself, which makes whole batches, each batch has numbers of its own.

    Args:
        dataset: The dataset.
        seed: Seed of the run.
    """

    def __init__(self, dataset, seed: int) -> None:
        self.dataset = dataset
        self.seed = seed
        # Workers that live on from epoch to epoch read it too.
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
