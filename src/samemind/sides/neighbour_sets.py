"""Sets of neighbours, and how many two of them share: packed bits, or sorted lists.

Where the last places are tied, those that share them are neighbours in part (`ties.py`), and so
what two sets share need not be a whole number: of each input the lesser of its two parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from samemind.lazy import np, torch
from samemind.sides.ties import AT_ONCE, Ties, bit_counts, packed, unpacked

if TYPE_CHECKING:
    from torch import Tensor

#: From this many inputs on, lists take less memory than bits (N²/8 bytes against 4 N k).
LISTED_FROM = 32768
ROWS_AT_ONCE = 1024


@dataclass
class NeighbourSets:
    """For each of N inputs, the set of its k nearest others.

    Held as packed bits `(N, 8 ⌈N/64⌉)` on a CPU, and as lists of indices `(N, k)`, ascending, for
    very many inputs, on a GPU and after a permutation. Of an input whose last places are tied,
    these are the neighbours that are nearer; its list begins with -1 for each place that is
    shared, and `ties` says who shares them.

    `next_ones`: the two nearest that are not among the k, `(N, 2)`; -1 where there is none.
    """

    k: int
    n_inputs: int
    bits: Tensor | None = None
    given_lists: Tensor | None = None
    ties: Ties | None = None
    next_ones: Tensor | None = None

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
    def n_tied(self) -> int:
        """How many inputs have neighbours that share their last places."""
        return 0 if self.ties is None else len(self.ties.rows)

    @property
    def lists(self) -> Tensor:
        """The neighbours of each input as indices, `(N, k)`, ascending (not by nearness).

        -1 stands for a place that is shared.
        """
        if self.given_lists is None:
            assert self.bits is not None
            lists = torch.empty(self.n_inputs, self.k, dtype=torch.int32)
            for start in range(0, self.n_inputs, ROWS_AT_ONCE):
                rows = slice(start, start + ROWS_AT_ONCE)
                lists[rows] = as_lists(unpacked(self.bits[rows], self.n_inputs), self.k)
            self.given_lists = lists
        return self.given_lists

    def bits_of(self, rows: Tensor) -> Tensor:
        """The neighbours of some inputs as packed bits, without those that share a place."""
        if self.bits is not None:
            return self.bits[rows]
        found = []
        for some in rows.split(max(1, AT_ONCE // self.n_inputs)):
            lists = self.lists[some].long()
            # One column more, for nobody, which is cut off again.
            shape = len(some), self.n_inputs + 1
            members = torch.zeros(shape, dtype=torch.bool, device=lists.device)
            members.scatter_(1, torch.where(lists < 0, self.n_inputs, lists), True)
            found.append(packed(members[:, :-1].contiguous()))
        return torch.cat(found)

    def parts(self, rows: Tensor) -> Tensor:
        """By how much every input is a neighbour of these, `(rows, N)` in float64: 0 to 1."""
        found = unpacked(self.bits_of(rows), self.n_inputs).double()
        if self.ties is not None:
            places = self.ties.places[rows]
            (is_tied,) = torch.nonzero(places >= 0, as_tuple=True)
            places = places[is_tied]
            tied = unpacked(self.ties.bits[places], self.n_inputs)
            found[is_tied] += tied * self.ties.shares[places, None]
        return found

    def permuted(self, order: Tensor) -> NeighbourSets:
        """The sets after input `order[i]` has become input `i`."""
        new_index = torch.empty_like(order)
        new_index[order] = torch.arange(len(order), device=order.device)
        renamed = _renamed(self.lists, new_index)[order].sort(1).values
        found = NeighbourSets.listed(self.k, renamed)
        if self.ties is not None:
            found.ties = self.ties.permuted(order)
        if self.next_ones is not None:
            found.next_ones = _renamed(self.next_ones, new_index)[order]
        return found

    def shared_with(self, other: NeighbourSets) -> Tensor:
        """How many neighbours each input has in both, `(N,)`; whole numbers without ties."""
        shared = self._shared_whole(other)
        if self.ties is None and other.ties is None:
            return shared
        shared = shared.double()
        for mine, theirs in ((self, other), (other, self)):
            if mine.ties is not None:
                rows = mine.ties.rows
                shared[rows] += mine.ties.shares * bit_counts(mine.ties.bits & theirs.bits_of(rows))
        if self.ties is not None and other.ties is not None:
            rows, mine, theirs = tied_in_both(self.ties, other.ties)
            least = torch.minimum(self.ties.shares[mine], other.ties.shares[theirs])
            shared[rows] += least * bit_counts(self.ties.bits[mine] & other.ties.bits[theirs])
        return shared

    def _shared_whole(self, other: NeighbourSets) -> Tensor:
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
            shared.append(((both[:, 1:] == both[:, :-1]) & (both[:, 1:] >= 0)).sum(1))
        return torch.cat(shared)

    def in_degrees(self) -> Tensor:
        """How many inputs have each input as a neighbour, `(N,)`; in parts where there are ties."""
        lists = self.lists.flatten().long()
        if self.ties is None:
            return torch.bincount(lists, minlength=self.n_inputs)
        found = torch.bincount(lists[lists >= 0], minlength=self.n_inputs).double()
        for these, tied in self.ties.chunks():
            found += self.ties.shares[these] @ tied.double()
        return found

    def n_mutual(self) -> float:
        """How many ordered pairs of inputs are neighbours of each other.

        With ties, the sum of the products of both parts.
        """
        edges, parts = self._edges()
        reversed_edges = edges % self.n_inputs * self.n_inputs + edges // self.n_inputs
        both, places = torch.cat([edges, reversed_edges]).sort()
        is_double = both[1:] == both[:-1]
        if self.ties is None:
            return int(is_double.sum())
        parts = torch.cat([parts, parts])[places]
        return float((parts[1:] * parts[:-1])[is_double].sum())

    def _edges(self) -> tuple[Tensor, Tensor]:
        """Every input and neighbour as one number, and by how much it is one."""
        lists = self.lists.long()
        own = torch.arange(self.n_inputs, device=lists.device)[:, None]
        edges = [(own * self.n_inputs + lists)[lists >= 0]]
        parts = [torch.ones(len(edges[0]), dtype=torch.float64, device=lists.device)]
        if self.ties is not None:
            for these, tied in self.ties.chunks():
                row, column = torch.nonzero(tied, as_tuple=True)
                edges.append(self.ties.rows[these][row] * self.n_inputs + column)
                parts.append(self.ties.shares[these][row])
        return torch.cat(edges), torch.cat(parts)


def as_lists(members: Tensor, k: int) -> Tensor:
    """Booleans `(M, N)` as lists `(M, k)`, ascending; with fewer than k, -1 comes first."""
    row, column = torch.nonzero(members, as_tuple=True)
    if len(column) == len(members) * k:
        return column.reshape(-1, k).int()
    counts = members.sum(1)
    place = torch.arange(len(row), device=row.device) - (counts.cumsum(0) - counts)[row]
    lists = torch.full((len(members), k), -1, dtype=torch.int32, device=members.device)
    lists[row, k - counts[row] + place] = column.int()
    return lists


def tied_in_both(first: Ties, second: Ties) -> tuple[Tensor, Tensor, Tensor]:
    """The inputs with ties on both sides, and where they stand in the one and the other."""
    theirs = second.places[first.rows]
    (mine,) = torch.nonzero(theirs >= 0, as_tuple=True)
    return first.rows[mine], mine, theirs[mine]


def tied_in_either(first: NeighbourSets, second: NeighbourSets) -> Sequence[Tensor]:
    """The inputs with ties on one side or both, ascending, some at a time."""
    rows = [sets.ties.rows for sets in (first, second) if sets.ties is not None]
    return torch.cat(rows).unique().split(max(1, AT_ONCE // first.n_inputs)) if rows else ()


def _renamed(indices: Tensor, new_index: Tensor) -> Tensor:
    return torch.where(indices < 0, -1, new_index.int()[indices.clamp_min(0).long()])


def _words(bits: Tensor) -> np.ndarray:
    return bits.numpy().view(np.uint64)
