"""The neighbours of each input in their order, and cosines between chosen inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from samemind.lazy import torch
from samemind.sides import preprocessing
from samemind.sides.neighbours import TIE, Rows
from samemind.sides.pair import Pair, Side

if TYPE_CHECKING:
    from torch import Tensor


def neighbour_lists(side: Side, k: int) -> Tensor:
    """The k nearest others of each input as indices, `(N, k)`, ascending by index.

    -1 stands for a place that is shared by inputs that are tied for it.
    """
    return side.neighbours(k).lists.long()


def rows_of(side: Side) -> Rows:
    """The representation as rows whose cosines can be taken."""
    return Rows(side.representation, side.means, side.row_lengths)


def first_neighbours(representation: Tensor) -> Tensor:
    """Of each row the other one at the largest cosine, as a search finds it: `(N,)` indices.

    Nothing is centred; of rows that are equally near, the first counts; a row of zeros has -1.

    **Cost:** O(N² D), and about 16 million numbers at a time.
    """
    rows = torch.nn.functional.normalize(representation, dim=1)
    step = max(1, 2**24 // len(rows))
    found = []
    for start in range(0, len(rows), step):
        cosines = rows[start : start + step] @ rows.T
        here = torch.arange(len(cosines), device=rows.device)
        cosines[here, here + start] = -torch.inf
        found.append(torch.where(rows[start : start + step].any(1), cosines.argmax(1), -1))
    return torch.cat(found)


def cosines_at(side: Side, lists: Tensor) -> Tensor:
    """The cosine of each centred row with those that its list names, `(N, k)` in float64.

    For -1, which is nobody, it is that with the first input.
    """
    own = torch.arange(len(lists), device=lists.device)[:, None].expand_as(lists)
    others = lists.clamp_min(0).flatten()
    return rows_of(side).cosines(own.flatten(), others).reshape(lists.shape)


def cosines_with_all(side: Side, rows: Tensor) -> Tensor:
    """The cosine of some centred rows with all, `(rows, N)` in the side's precision.

    **Cost:** O(rows N D), and N D numbers.
    """
    directions = rows_of(side).directions(side.precision)
    return preprocessing.product(directions[rows], directions)


@dataclass(frozen=True)
class Ordered:
    """The k nearest others of each input, the nearest first.

    Those that are equally near have the same `first` rank, from 0, and are `several`; they share
    the ranks from the one to the other. `has_equals`: whether there are such, in the k or beyond.
    """

    lists: Tensor
    first: Tensor
    several: Tensor
    has_equals: bool


def nearest_first(side: Side, k: int) -> Ordered:
    """The k nearest others of each input, `(N, k)`, the nearest first; -1 last."""
    return side.once(f"nearest first@{k}", lambda: _make_nearest_first(side, k))


def _make_nearest_first(side: Side, k: int) -> Ordered:
    lists = neighbour_lists(side, k)
    cosines = torch.where(lists < 0, -torch.inf, cosines_at(side, lists))
    cosines, order = cosines.sort(dim=1, descending=True, stable=True)
    lists = lists.gather(1, order)
    starts = torch.ones_like(lists, dtype=torch.bool)
    starts[:, 1:] = ~(cosines[:, :-1] - cosines[:, 1:] <= TIE) & (lists[:, 1:] >= 0)
    rank = torch.arange(k, device=lists.device)
    # Not even a GPU is asked whether there are ties, unless sorting says that there may be some.
    has_equals = side.neighbours(k).ties is not None or not bool(starts.all())
    first = torch.where(starts, rank, 0).cummax(1).values if has_equals else rank.expand_as(lists)
    several = torch.ones_like(lists)
    if has_equals:
        counts = torch.zeros_like(lists).scatter_add_(1, first, (lists >= 0).long())
        several = counts.gather(1, first).clamp_min(1)
    return Ordered(lists, first, several, has_equals)


def is_listed(lists: Tensor, among: Tensor) -> Tensor:
    """Which entries of each row of `lists` are in the same row of `among`, booleans; -1 is not."""
    ascending = among.sort(1).values
    places = torch.searchsorted(ascending, lists.contiguous()).clamp(max=among.shape[1] - 1)
    return (ascending.gather(1, places) == lists) & (lists >= 0)


def nan_unless_both_vary(pair: Pair, score: Tensor) -> Tensor:
    """The score, or NaN where a side is constant, so that its neighbours mean nothing."""
    varies = (pair.a.norm > 0) & (pair.b.norm > 0)
    return torch.where(varies, score, torch.nan)


#: From this share of inputs on, ties at the last place are told, and floors are shuffled.
TOLD_FROM = 0.01


def has_few_ties(pair: Pair, k: int) -> bool:
    """Whether ties at the k-th place are too few to move a floor without ties by 0.0001."""
    return all(side.tied_share(k) < TOLD_FROM for side in (pair.a, pair.b))
