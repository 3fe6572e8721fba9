"""The rest of an epoch, and workers that outlive SIGTERM."""

import signal

from torch.utils.data import BatchSampler, DataLoader, SequentialSampler

from mmkd_plugin.resume import loading


class Numbers:
    def __init__(self):
        self.loaded = []

    def __len__(self):
        return 7

    def __getitem__(self, index):
        self.loaded.append(index)
        return index


def make_loader():
    data = Numbers()
    return DataLoader(
        data,
        batch_sampler=BatchSampler(SequentialSampler(data), 2, False),
        collate_fn=tuple,
    )


def test_rest_loads_what_was_not_seen():
    loader = make_loader()
    rest = loading.skip_batches(loader, 1)
    assert len(rest) == 3
    assert list(rest) == [(2, 3), (4, 5), (6,)]
    assert loader.dataset.loaded == [2, 3, 4, 5, 6]
    nothing = loading.skip_batches(loader, 4)
    assert (len(nothing), list(nothing)) == (0, [])
    assert loading.sampler_of(rest) is loading.sampler_of(loader)
    assert isinstance(loading.sampler_of(loader), SequentialSampler)


def test_shielded_worker_dies_at_the_second_signal(monkeypatch):
    alarms, calls = [], []
    monkeypatch.setattr(signal, 'alarm', alarms.append)
    before = signal.getsignal(signal.SIGTERM)
    loader = make_loader()
    loader.worker_init_fn = calls.append
    own = loader.worker_init_fn
    try:
        with loading.shielded_workers(loader):
            loader.worker_init_fn(3)
        assert loader.worker_init_fn is own
        assert calls == [3]
        signal.raise_signal(signal.SIGTERM)
        assert alarms == [loading.GRACE]
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)
