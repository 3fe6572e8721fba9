import pytest
from pairs import PAIRS, TRIED, Pair, list_pairs

LATER = Pair((3, 12), 'torch-2.10')


@pytest.mark.parametrize('stack', PAIRS)
@pytest.mark.parametrize('python', [(3, 10), (3, 11), (3, 12)])
def test_the_python_at_hand_and_the_default_torch_come_first(stack, python):
    pairs = list_pairs(stack, python)
    assert pairs[0][:2] == (python, 'torch')
    assert len({pair[:2] for pair in pairs}) == len(pairs)
    assert {pair[:2] for pair in PAIRS[stack]} <= {pair[:2] for pair in pairs}


def test_what_is_not_tried_is_called_so():
    assert list_pairs('openmmlab', (3, 10))[0].standing.endswith('not tried')
    assert 'not tried' not in TRIED.standing


@pytest.mark.parametrize('stack', PAIRS)
def test_each_pair_pins_its_torch(stack):
    for pair in PAIRS[stack]:
        assert pair.torch.count('.') == 2
    assert str(TRIED) == f'Python 3.11 with torch {TRIED.torch}'
