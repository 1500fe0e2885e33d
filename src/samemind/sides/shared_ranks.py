"""How alike two models rank the neighbours that they have in common, where ranks may be shared.

Inputs that are equally near share their ranks: each of t inputs holds each of the t ranks by one
t-th. So a neighbour is spread over ranks in both models, and what it brings is that of a coupling
of both spreads: what they have at the same rank is paired with itself, the rest with the rest, in
proportion. Without ties every neighbour is at one rank in either, and this is the formula itself.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from samemind.lazy import torch
from samemind.sides.entering import next_ones
from samemind.sides.nearness import Ordered, cosines_at, nearest_first
from samemind.sides.neighbour_sets import tied_in_both
from samemind.sides.pair import Pair, Side
from samemind.sides.ties import Ties, bit_counts

if TYPE_CHECKING:
    from torch import Tensor

#: Numbers that a comparison of ranks holds at a time.
AT_ONCE = 2**22


def rank_weights(k: int, device: torch.device) -> Tensor:
    """What a common neighbour at ranks r and s brings: 2 / ((1 + |r - s|) (r + s)), `(k, k)`."""
    rank = torch.arange(1, k + 1, dtype=torch.float64, device=device)
    apart = (rank[:, None] - rank).abs()
    return 2 / ((1 + apart) * (rank[:, None] + rank))


def harmonic_numbers(k: int, device: torch.device) -> Tensor:
    """The sums of 1/l up to m, for m from 0 to k, `(k + 1,)`; what m common ones can bring."""
    rank = torch.arange(1, k + 1, dtype=torch.float64, device=device)
    return torch.cat([torch.zeros(1, dtype=torch.float64, device=device), (1 / rank).cumsum(0)])


class Common(NamedTuple):
    """Per input: what its common neighbours bring, and how many they are, in parts; `(N,)`."""

    brought: Tensor
    number: Tensor


def common_ranks(pair: Pair, k: int) -> Common:
    """What the common neighbours of each input bring, and how many they are."""
    first, second = nearest_first(pair.a, k), nearest_first(pair.b, k)
    if first.has_equals or second.has_equals:
        return _with_equals(pair, k, first, second)
    weights = rank_weights(k, first.lists.device)
    brought = torch.empty(pair.n_inputs, dtype=torch.float64, device=first.lists.device)
    number = torch.empty_like(brought)
    at_once = max(1, AT_ONCE // k**2)
    for start in range(0, pair.n_inputs, at_once):
        rows = slice(start, start + at_once)
        same = first.lists[rows, :, None] == second.lists[rows, None, :]
        brought[rows] = (same * weights).sum((1, 2))
        number[rows] = same.sum((1, 2)).double()
    return Common(brought, number)


# --- ranks that are shared ---------------------------------------------------------------------


class _Spread(NamedTuple):
    """Over which ranks some neighbours are spread: from `first` on, one part in `several` each."""

    first: Tensor
    several: Tensor


def _with_equals(pair: Pair, k: int, first: Ordered, second: Ordered) -> Common:
    device = first.lists.device
    found = Common(*torch.zeros(2, pair.n_inputs, dtype=torch.float64, device=device))
    couple = _Coupling(k, device)

    def add(rows: Tensor, mine: _Spread, theirs: _Spread, times: Tensor | int = 1) -> None:
        brought, number = couple(mine, theirs)
        found.brought.index_add_(0, rows, brought * times)
        found.number.index_add_(0, rows, number * times)

    at_once = max(1, AT_ONCE // k**2)
    for start in range(0, pair.n_inputs, at_once):
        rows = slice(start, start + at_once)
        same = first.lists[rows, :, None] == second.lists[rows, None, :]
        same &= (first.lists[rows] >= 0)[:, :, None]
        row, mine, theirs = torch.nonzero(same, as_tuple=True)
        row = row + start
        add(row, _at(first, row, mine), _at(second, row, theirs))
    one, other = pair.a.neighbours(k).ties, pair.b.neighbours(k).ties
    if other is not None:
        row, place = _tied_for_a_place(first, other)
        add(row, _at(first, row, place), _last(other, other.places[row]))
    if one is not None:
        row, place = _tied_for_a_place(second, one)
        add(row, _last(one, one.places[row]), _at(second, row, place))
    if one is not None and other is not None:
        row, mine, theirs = tied_in_both(one, other)
        times = bit_counts(one.bits[mine] & other.bits[theirs])
        add(row, _last(one, mine), _last(other, theirs), times)
    return found


def _tied_for_a_place(ordered: Ordered, others: Ties) -> tuple[Tensor, Tensor]:
    """Which neighbours of one model share a last place in the other: rows, and places in lists."""
    own = torch.arange(len(ordered.lists), device=ordered.lists.device)[:, None]
    parts = others.parts_of(own.expand_as(ordered.lists), ordered.lists)
    row, place = torch.nonzero(parts > 0, as_tuple=True)
    return row, place


def _at(ordered: Ordered, rows: Tensor, places: Tensor) -> _Spread:
    return _Spread(ordered.first[rows, places], ordered.several[rows, places])


def _last(ties: Ties, places: Tensor) -> _Spread:
    return _Spread(ties.nearer[places], ties.counts[places])


class _Coupling:
    """What neighbours bring that are spread over ranks in both models, and by how much they are."""

    def __init__(self, k: int, device: torch.device) -> None:
        self.k = k
        #: Sums of the weights over all lower ranks, so that any block of ranks is four of them.
        sums = rank_weights(k, device).cumsum(0).cumsum(1)
        self.sums = torch.nn.functional.pad(sums, (1, 0, 1, 0))
        self.harmonic = harmonic_numbers(k, device)

    def __call__(self, mine: _Spread, theirs: _Spread) -> tuple[Tensor, Tensor]:
        first = mine.first, (mine.first + mine.several).clamp_max(self.k)
        second = theirs.first, (theirs.first + theirs.several).clamp_max(self.k)
        start = torch.maximum(first[0], second[0])
        both = start, torch.maximum(torch.minimum(first[1], second[1]), start)
        one, other = 1 / mine.several.double(), 1 / theirs.several.double()
        least = torch.minimum(one, other)
        same = least * (both[1] - both[0])
        rest_one, rest_other = (
            (first[1] - first[0]) * one - same,
            ((second[1] - second[0]) * other - same),
        )
        rest = torch.minimum(rest_one, rest_other).clamp_min(0)
        products = one * other * self._block(first, second) - least * (
            one * self._block(first, both) + other * self._block(both, second)
        )
        products = products + least.square() * self._block(both, both)
        scale = torch.where(rest > 1e-9, rest / (rest_one * rest_other), 0.0)
        brought = least * (self.harmonic[both[1]] - self.harmonic[both[0]]) + scale * products
        return brought, same + rest

    def _block(self, rows: tuple[Tensor, Tensor], columns: tuple[Tensor, Tensor]) -> Tensor:
        (top, bottom), (left, right) = rows, columns
        below = self.sums[bottom, right] - self.sums[bottom, left]
        return below - (self.sums[top, right] - self.sums[top, left])


def most(side: Side, k: int, count: Tensor) -> Tensor:
    """What so many common neighbours can bring at most; between whole numbers, in proportion."""
    harmonic = harmonic_numbers(k, side.device)
    whole = (count + 1e-9).floor().long().clamp_max(k)
    return harmonic[whole] + (count - whole).clamp_min(0) / (whole + 1)


# --- what one neighbour less does --------------------------------------------------------------


class LeftOut(NamedTuple):
    """Without one of the neighbours in either list: what the common ones bring, and how many are.

    All `(rows, 2 k)`: for each of the first model's neighbours, nearest first, then the second's.
    """

    lists: Tensor
    brought: Tensor
    number: Tensor


def common_ranks_without(pair: Pair, k: int, rows: slice) -> LeftOut:
    """As `common_ranks` after each neighbour of some inputs in turn is left out of both lists.

    Who comes next takes the last place. Ties are not looked at.

    **Cost:** O(k²) per input.
    """
    first, second = (
        side.once(f"with next@{k}", partial(_with_next, side, k))[rows] for side in (pair.a, pair.b)
    )
    device = first.device
    same = (first[:, :, None] == second[:, None, :]) & (first >= 0)[:, :, None]
    row, mine, theirs = torch.nonzero(same, as_tuple=True)
    per_row = torch.bincount(row, minlength=len(first))
    most_common = max(int(per_row.max()), 1)
    place = torch.arange(len(row), device=device) - (per_row.cumsum(0) - per_row)[row]
    # Ranks from 0 of the common ones in both lists; k + 1 is beyond what any move brings in.
    r, s = torch.full((2, len(first), most_common), k + 1, device=device)
    r[row, place], s[row, place] = mine, theirs
    lists = torch.cat([first[:, :k], second[:, :k]], dim=1)
    gone_r, gone_s = (_places_in(lists, those) for those in (first, second))
    weights = torch.nn.functional.pad(rank_weights(k, device), (0, 2, 0, 2))
    new_r = r[:, None, :] - (r[:, None, :] > gone_r[:, :, None]).long()
    new_s = s[:, None, :] - (s[:, None, :] > gone_s[:, :, None]).long()
    stays = r[:, None, :] != gone_r[:, :, None]
    stays &= (new_r < k) & (new_s < k)
    brought = (weights[new_r, new_s] * stays).sum(2)
    return LeftOut(lists, brought, stays.sum(2).double())


def _with_next(side: Side, k: int) -> Tensor:
    """The k nearest of each input and the one after them, the nearest first, `(N, k + 1)`."""
    found = nearest_first(side, k).lists
    others = next_ones(side, k)
    cosines = torch.where(others < 0, -torch.inf, cosines_at(side, others))
    nearer = cosines.argmax(1, keepdim=True)
    return torch.cat([found, others.gather(1, nearer)], dim=1)


def _places_in(lists: Tensor, among: Tensor) -> Tensor:
    """Where each entry of `lists` stands in the same row of `among`; its width + 1 if it does not.

    Only the places of the k, not that of the one after them, are left by being left out.
    """
    ascending, order = among.sort(1)
    places = torch.searchsorted(ascending, lists.contiguous()).clamp(max=among.shape[1] - 1)
    is_there = ascending.gather(1, places) == lists
    return torch.where(is_there & (lists >= 0), order.gather(1, places), among.shape[1] + 1)
