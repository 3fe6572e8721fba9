"""What resuming needs of torch's data loader."""

import itertools
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from torch.utils.data import DataLoader

from ..engine.signals import take_over

# Seconds that a worker lives on after SIGTERM.
GRACE = 5


class _Rest:
    """A batch sampler without its first batches."""

    def __init__(self, batch_sampler, seen: int) -> None:
        self.batch_sampler = batch_sampler
        self.sampler = batch_sampler.sampler
        self.seen = seen

    def __iter__(self) -> Iterator:
        return itertools.islice(iter(self.batch_sampler), self.seen, None)

    def __len__(self) -> int:
        return len(self.batch_sampler) - self.seen


def rest_of(loader: DataLoader, seen: int) -> DataLoader:
    """A loader of the batches of an epoch that have not been seen.

    Args:
        loader: The loader of the whole epoch.
        seen: Number of its first batches to leave out; they are not
            loaded.

    Returns:
        DataLoader: Like ``loader``, for this epoch alone.
    """
    return DataLoader(
        loader.dataset,
        batch_sampler=_Rest(loader.batch_sampler, seen),
        num_workers=loader.num_workers,
        collate_fn=loader.collate_fn,
        pin_memory=loader.pin_memory,
        timeout=loader.timeout,
        worker_init_fn=loader.worker_init_fn,
        multiprocessing_context=loader.multiprocessing_context,
        generator=loader.generator,
        prefetch_factor=loader.prefetch_factor,
    )


@contextmanager
def shielded_workers(loader: DataLoader) -> Iterator[None]:
    """Let workers that a loader starts outlive a SIGTERM for a while.

    Slurm sends it to all processes of a job, and the main one needs its
    workers until it has stopped at a good place.
    """
    own = loader.worker_init_fn
    loader.worker_init_fn = partial(_die_late, own)
    try:
        yield
    finally:
        loader.worker_init_fn = own


def _die_late(then, worker_id: int) -> None:
    def be_asked() -> None:
        # A second SIGTERM, or the alarm, ends the worker.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.alarm(GRACE)

    take_over(signal.SIGTERM, be_asked)
    if then is not None:
        then(worker_id)


def sampler_of(loader: DataLoader):
    """The sampler that orders the samples."""
    return loader.batch_sampler.sampler  # type: ignore[union-attr]
