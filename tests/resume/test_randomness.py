"""Random numbers by their place."""

import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from mmkd_plugin.resume import randomness
from mmkd_plugin.resume.randomness import SeededSamples, seed_by


def draw():
    return random.random(), np.random.rand(), float(torch.rand(()))


class Noise(Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        return torch.tensor(draw())


def test_place_determines_all_generators():
    draws = {}
    for place in [(0, 1), (1, 0), (1,), ('a', 1), (0, 1)]:
        seed_by(*place)
        drawn = draw()
        assert draws.setdefault(place, drawn) == drawn
    for values in zip(*draws.values()):
        assert len(set(values)) == 4


def test_seeds_torch_as_torch_does():
    seed_by('a', 1)
    state = torch.get_rng_state()
    torch.manual_seed(torch.initial_seed())
    assert torch.equal(torch.get_rng_state(), state)


def test_seeds_gpus_that_are_in_use(monkeypatch):
    seeds = []
    monkeypatch.setattr(randomness, 'get_device', lambda: 'cuda')
    monkeypatch.setattr(torch.cuda, 'manual_seed_all', seeds.append)
    monkeypatch.setattr(torch.cuda, 'is_initialized', lambda: False)
    seed_by('a', 1)
    assert seeds == []
    monkeypatch.setattr(torch.cuda, 'is_initialized', lambda: True)
    seed_by('a', 1)
    assert seeds == [torch.initial_seed()]


def test_leaves_other_devices_to_torch(monkeypatch):
    seeds = []
    monkeypatch.setattr(randomness, 'get_device', lambda: 'npu')
    monkeypatch.setattr(torch, 'manual_seed', seeds.append)
    seed_by('a', 1)
    assert len(seeds) == 1


def test_sample_depends_on_seed_epoch_and_index_only():
    samples = SeededSamples(Noise(), seed=1)
    first = samples([0, 1, 2])
    again = samples([2, 0])
    assert torch.equal(again[0], first[2])
    assert torch.equal(again[1], first[0])
    assert not torch.equal(first[0], first[1])
    samples.epoch.fill_(1)
    assert not torch.equal(samples([0])[0], first[0])
    assert not torch.equal(SeededSamples(Noise(), seed=2)([0])[0], first[0])


@pytest.mark.slow
def test_loader_calls_it_in_living_workers_too():
    drawn = []
    for workers in (0, 2):
        dataset = Noise()
        dataset.__getitems__ = SeededSamples(dataset, seed=1)
        loader = DataLoader(
            dataset,
            batch_size=2,
            num_workers=workers,
            persistent_workers=workers > 0,
        )
        epochs = []
        for epoch in range(2):
            dataset.__getitems__.epoch.fill_(epoch)
            epochs.append(torch.cat(list(loader)))
        drawn.append(torch.stack(epochs))
    assert torch.equal(*drawn)
    assert not torch.equal(*drawn[0])
