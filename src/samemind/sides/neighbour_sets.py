"""Sets of neighbours, and how many two of them share: packed bits, or sorted lists."""

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

#: From this many inputs on, lists take less memory than bits (N²/8 bytes against 4 N k).
LISTED_FROM = 32768
ROWS_AT_ONCE = 1024


@dataclass
class NeighbourSets:
    """For each of N inputs, the set of its k nearest others.

    Held as packed bits `(N, 8 ⌈N/64⌉)` on a CPU, and as lists of indices `(N, k)`, ascending, for
    very many inputs, on a GPU and after a permutation.
    """

    k: int
    n_inputs: int
    bits: Tensor | None = None
    given_lists: Tensor | None = None

    @classmethod
    def packed(cls, k: int, bits: Sequence[Tensor]) -> NeighbourSets:
        """The sets from packed rows."""
        together = torch.cat(list(bits))
        return cls(k, len(together), bits=together)

    @classmethod
    def listed(cls, k: int, lists: Tensor) -> NeighbourSets:
        """The sets from lists of indices `(N, k)`, ascending in each row."""
        return cls(k, len(lists), given_lists=lists)

    @property
    def lists(self) -> Tensor:
        """The neighbours of each input as indices, `(N, k)`, ascending (not by nearness)."""
        if self.given_lists is None:
            lists = torch.empty(self.n_inputs, self.k, dtype=torch.int32)
            for start in range(0, self.n_inputs, ROWS_AT_ONCE):
                rows = slice(start, start + ROWS_AT_ONCE)
                columns = torch.nonzero(self._unpacked(rows))[:, 1]
                lists[rows] = columns.reshape(-1, self.k).int()
            self.given_lists = lists
        return self.given_lists

    def _unpacked(self, rows: slice) -> Tensor:
        assert self.bits is not None
        bits = np.unpackbits(self.bits[rows].numpy(), axis=1, count=self.n_inputs)
        return torch.from_numpy(bits)

    def permuted(self, order: Tensor) -> NeighbourSets:
        """The sets after input `order[i]` has become input `i`."""
        new_index = torch.empty_like(order)
        new_index[order] = torch.arange(len(order), device=order.device)
        lists = new_index.int()[self.lists.long()][order]
        return NeighbourSets.listed(self.k, lists.sort(1).values)

    def shared_with(self, other: NeighbourSets) -> Tensor:
        """How many neighbours each input has in both, `(N,)` integers."""
        if self.bits is None or other.bits is None:
            return self._shared_lists(other)
        shared = torch.empty(self.n_inputs, dtype=torch.int64)
        for start in range(0, self.n_inputs, ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            words = _words(self.bits[rows]) & _words(other.bits[rows])
            shared[rows] = torch.from_numpy(np.bitwise_count(words).sum(1, dtype=np.int64))
        return shared

    def _shared_lists(self, other: NeighbourSets) -> Tensor:
        shared = []
        mine, theirs = self.lists, other.lists
        for start in range(0, self.n_inputs, ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            both = torch.cat([mine[rows], theirs[rows]], dim=1).sort(1).values
            shared.append((both[:, 1:] == both[:, :-1]).sum(1))
        return torch.cat(shared)

    def in_degrees(self) -> Tensor:
        """How many inputs have each input as a neighbour, `(N,)` integers."""
        return torch.bincount(self.lists.flatten().long(), minlength=self.n_inputs)

    def n_mutual(self) -> int:
        """How many ordered pairs of inputs are neighbours of each other."""
        lists = self.lists.long()
        own = torch.arange(self.n_inputs, device=lists.device)[:, None]
        edges = (own * self.n_inputs + lists).flatten()
        reversed_edges = (lists * self.n_inputs + own).flatten()
        both = torch.cat([edges, reversed_edges]).sort().values
        return int((both[1:] == both[:-1]).sum())


def _words(bits: Tensor) -> np.ndarray:
    return bits.numpy().view(np.uint64)
