"""The memory bank: its first rows, picks, products and updates."""

import pytest
import torch

from mmkd_plugin.losses.common import memory_bank
from mmkd_plugin.losses.common.memory_bank import (
    bank_products,
    draw_others,
    new_bank,
    updated_bank,
)


@pytest.fixture(params=[2**25, 20, 1], ids=['whole', 'two rows', 'one row'])
def size(request, monkeypatch):
    """How much is computed at a time."""
    monkeypatch.setattr(memory_bank, 'SIZE', request.param)


def test_first_rows():
    torch.manual_seed(0)
    bank = new_bank(1000, 128)
    bound = 1 / (128 / 3) ** 0.5
    assert bank.shape == (1000, 128)
    assert 0.999 * bound < bank.max() <= bound
    assert -bound <= bank.min() < -0.999 * bound
    assert bank.square().sum(1).mean() == pytest.approx(1, abs=0.01)


def test_products_and_gradient(size):
    torch.manual_seed(0)
    rows = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    bank = torch.randn(9, 3, dtype=torch.float64)
    picks = torch.stack([torch.randperm(9)[:4] for _ in range(5)])
    found = bank_products(rows, bank, picks)
    torch.testing.assert_close(
        found, torch.einsum('nd,npd->np', rows, bank[picks])
    )
    torch.autograd.gradcheck(lambda x: bank_products(x, bank, picks), rows)


def test_others_are_of_other_classes_and_differ(size):
    torch.manual_seed(0)
    classes = torch.tensor([0, 1, 2, 0, 1, 2, 0, 0, 1, 3])
    indices = torch.tensor([3, 9, 1, 3, 0])
    for _ in range(20):
        drawn = draw_others(classes, indices, count=6)
        assert drawn.shape == (5, 6)
        assert (classes[drawn] != classes[indices, None]).all()
        assert all(len(row.unique()) == 6 for row in drawn)
    # All that there are: the first class leaves six.
    assert sorted(drawn[0].tolist()) == [1, 2, 4, 5, 8, 9]


def test_every_other_is_drawn_equally_often():
    torch.manual_seed(0)
    classes = torch.arange(12) % 4
    drawn = draw_others(classes, torch.zeros(3000).long(), count=3)
    share = drawn.flatten().bincount(minlength=12) / 3000
    wanted = torch.where(classes == 0, 0.0, 3 / 9)
    # Three and a half standard deviations.
    torch.testing.assert_close(share, wanted, rtol=0, atol=0.03)


def test_draws_follow_the_seed():
    classes = torch.arange(100) % 10
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found.append(draw_others(classes, torch.arange(4), count=20))
    assert found[0].equal(found[1]) and not found[0].equal(found[2])


def test_update():
    """bank[i] becomes momentum * old + (1 - momentum) * new, of length 1."""
    torch.manual_seed(0)
    bank, rows = torch.randn(6, 4), torch.randn(3, 4)
    indices = torch.tensor([4, 0, 2])
    kept = bank.clone()
    found = updated_bank(
        bank, indices, rows, momentum=0.3, valid=torch.ones(3).bool()
    )
    assert bank.equal(kept)
    for i, row in zip([4, 0, 2], rows):
        mixed = 0.3 * kept[i] + 0.7 * row
        torch.testing.assert_close(found[i], mixed / mixed.norm())
    others = [1, 3, 5]
    assert found[others].equal(kept[others])


def test_last_valid_row_of_a_sample_counts():
    bank, rows = torch.zeros(3, 2), torch.tensor([[3.0, 4], [1, 0], [0, 1]])
    indices = torch.tensor([1, 1, 1])
    for valid, wanted in (
        ([1, 1, 1], [0.0, 1.0]),
        ([1, 1, 0], [1.0, 0.0]),
        ([1, 0, 0], [0.6, 0.8]),
        ([0, 0, 0], [0.0, 0.0]),
    ):
        found = updated_bank(
            bank, indices, rows, momentum=0.5, valid=torch.tensor(valid) > 0
        )
        torch.testing.assert_close(found[1], torch.tensor(wanted))
        assert found[[0, 2]].eq(0).all()


def test_no_rows():
    bank = torch.randn(3, 2)
    none = torch.zeros(0).long()
    found = updated_bank(
        bank, none, torch.zeros(0, 2), momentum=0.5, valid=none > 0
    )
    assert found.equal(bank)
    products = bank_products(torch.zeros(0, 2), bank, none.view(0, 5))
    assert products.shape == (0, 5)
    assert draw_others(torch.arange(9), none, count=5).shape == (0, 5)
