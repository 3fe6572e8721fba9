"""The pairs of a Python and a torch that the set-up chooses from.

The pins of ``requirements/torch.txt`` stay, unless there is a wheel of mmcv
for another pair of this table and none for them.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

REQUIREMENTS = Path(__file__).resolve().parents[2] / 'requirements'


class Pair(NamedTuple):
    """A Python and a torch.

    Attributes:
        python: Such as (3, 12).
        pins: Name of the file in ``requirements/`` that pins the torch.
        cuda: What the package index's build of this torch is compiled for.
        standing: What is known about the pair, in words for the user.
    """

    python: tuple[int, int]
    pins: str = 'torch'
    cuda: str = '13.0'
    standing: str = 'a pair that was not tried'

    @property
    def torch(self):
        lines = (REQUIREMENTS / f'{self.pins}.txt').read_text().split()
        return next(
            line.removeprefix('torch==')
            for line in lines
            if line.startswith('torch==')
        )

    def __str__(self):
        python = '.'.join(map(str, self.python))
        return f'Python {python} with torch {self.torch}'


TRIED = Pair((3, 11), standing='the pair that all is tried with')
PAIRS = {
    'onedl': (
        TRIED,
        Pair((3, 12), standing='a pair that the losses were tried with'),
        Pair((3, 12), pins='torch-2.10', cuda='12.8'),
    ),
    # Of mmcv 2.1.0, OpenMMLab's wheels end with a torch older than ours.
    'openmmlab': (TRIED,),
}


def list_pairs(stack, python):
    """Returns the pairs in the order in which they are looked for.

    Args:
        stack (str): A key of ``PAIRS``.
        python (tuple[int, int]): The interpreter at hand, whose pair with
            the default torch comes first.
    """
    own = next(
        (p for p in PAIRS[stack] if p.python == python and p.pins == 'torch'),
        Pair(python),
    )
    return [own, *(pair for pair in PAIRS[stack] if pair != own)]
