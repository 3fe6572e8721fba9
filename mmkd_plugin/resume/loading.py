"""Changes to torch's data loader for resuming."""

import itertools
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from torch.utils.data import DataLoader

from ..engine.signals import take_over

# Seconds that a worker keeps running after SIGTERM.
GRACE = 5


class _SkipBatches:
    """A batch sampler without its first batches."""

    def __init__(self, batch_sampler, skipped: int) -> None:
        self.batch_sampler = batch_sampler
        self.sampler = batch_sampler.sampler
        self.skipped = skipped

    def __iter__(self) -> Iterator:
        return itertools.islice(iter(self.batch_sampler), self.skipped, None)

    def __len__(self) -> int:
        return len(self.batch_sampler) - self.skipped


def skip_batches(loader: DataLoader, skipped: int) -> DataLoader:
    """A loader of an epoch without its first batches.

    Args:
        loader: The loader of the whole epoch.
        skipped: Number of first batches to skip; they are not loaded.

    Returns:
        Like ``loader``, for this epoch only.
    """
    return DataLoader(
        loader.dataset,
        batch_sampler=_SkipBatches(loader.batch_sampler, skipped),
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
    """Let the workers of a loader outlive a SIGTERM by `GRACE` seconds.

    Slurm sends it to all processes of a job, and the main process needs its
    workers until it has finished the iteration.
    """
    init_worker = loader.worker_init_fn
    loader.worker_init_fn = partial(_outlive_sigterm, init_worker)
    try:
        yield
    finally:
        loader.worker_init_fn = init_worker


def _outlive_sigterm(init_worker, worker_id: int) -> None:
    def on_sigterm() -> None:
        # A second SIGTERM, or the alarm, ends the worker.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.alarm(GRACE)

    take_over(signal.SIGTERM, on_sigterm)
    if init_worker is not None:
        init_worker(worker_id)


def sampler_of(loader: DataLoader):
    """The sampler that orders the samples."""
    return loader.batch_sampler.sampler  # type: ignore[union-attr]
