"""The nearest neighbours of every input: exact, for all k at once, as sets of packed bits.

Which inputs are neighbours is decided in float64 wherever float32 could decide otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from samemind.lazy import LazyModule

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor
else:
    np = LazyModule("numpy")
    torch = LazyModule("torch")

#: Cosines closer than this are equal; of equal ones, the lower index is the nearer neighbour.
TIE = 1e-12


@dataclass(frozen=True)
class NeighbourSets:
    """For each of N inputs, the set of its k nearest others.

    `members` is `(N, N)` booleans: entry (i, j) says whether j is among the neighbours of i.
    """

    k: int
    members: Tensor

    def permuted(self, order: Tensor) -> NeighbourSets:
        """The sets after input `order[i]` has become input `i`."""
        return NeighbourSets(self.k, self.members[order][:, order])

    def shared_with(self, other: NeighbourSets) -> Tensor:
        """How many neighbours each input has in both, `(N,)` integers."""
        return (self.members & other.members).sum(1)


def nearest(rows: Tensor, counts: Sequence[int]) -> list[NeighbourSets]:
    """The neighbour sets for each of the ascending counts k, by cosine, each input left out.

    A row of zeros has cosine 0 with every other.
    """
    directions = torch.nn.functional.normalize(rows.double(), dim=1, eps=1e-300)
    cosines = directions @ directions.T
    cosines.fill_diagonal_(-float("inf"))
    return [NeighbourSets(k, members_of_nearest(cosines, k)) for k in counts]


def members_of_nearest(cosines: Tensor, k: int) -> Tensor:
    """Which columns hold the k largest of each row, booleans; of ties, the lowest columns."""
    last = cosines.topk(k, dim=1).values[:, -1:]
    is_above = cosines > last + TIE
    is_tied = (cosines >= last - TIE) & ~is_above
    n_open = k - is_above.sum(1, keepdim=True)
    return is_above | (is_tied & (is_tied.cumsum(1) <= n_open))
