"""How a mean over inputs moves with each of them, where neighbours move it as well.

An input moves such a score in two ways: by its own neighbours, and by being a neighbour of others.
To leave it out of a set lets the next one in, so what counts is what it brings less what the next
ones would (`boundary`): the radius of a set follows the inputs (the argument of Bahadur, 1966, for
quantiles). The influence is the sum of both.

Its plain square counts the chance of who happens to be near whom twice: once with the input whose
neighbours they are, once with the one that is a neighbour. So the squares of what single neighbours
bring are taken off (as for sums over pairs that share inputs: Efron and Stein, 1981, Annals of
Statistics 9, 586-596; Aronow, Samii and Assenova, 2015, Political Analysis 23, 564-577), and the
influences are scaled to what is left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from samemind.lazy import torch
from samemind.sides.nearness import is_listed, neighbour_lists
from samemind.sides.neighbour_sets import NeighbourSets, tied_in_either
from samemind.sides.pair import Pair, Side

if TYPE_CHECKING:
    from torch import Tensor

#: Of the plain sum of squares at least so much is left, however much is taken off.
LEAST_LEFT = 0.25


class Edges(NamedTuple):
    """What single inputs bring to the rows of others, and the influence that it is a part of.

    - `influence`: `(N,)`, with what is counted twice. `means`: of each row over all others, `(N,)`.
    - `places`: row times N plus input, `(edges,)`; `values`: what the input brings to the row.
    """

    influence: Tensor
    means: Tensor
    places: Tensor
    values: Tensor


class Entered:
    """What being a neighbour of others does to a sum over inputs, gathered list by list.

    Of every row of lists the mean over all inputs is taken off, so that what is left sums to zero.
    Where the pair expects edges, it is left with them.
    """

    def __init__(self, pair: Pair) -> None:
        self.pair, self.n_inputs = pair, pair.n_inputs
        self.by_input = torch.zeros(pair.n_inputs, dtype=torch.float64, device=pair.a.device)
        self.rows = torch.zeros_like(self.by_input)
        self.squares = torch.zeros_like(self.by_input)
        self._edges: list[tuple[Tensor, Tensor]] = []

    def add(self, lists: Tensor, values: Tensor, rows: slice = slice(None)) -> None:
        """What the inputs of lists `(rows, k)` bring to each row; -1 is nobody."""
        values = torch.where(lists >= 0, values, 0.0)
        self.by_input += torch.bincount(
            lists.clamp_min(0).flatten(), weights=values.flatten(), minlength=self.n_inputs
        )
        self.rows[rows] += values.sum(1)
        self.squares[rows] += values.square().sum(1)
        if self.pair.expects_edges:
            here = torch.arange(self.n_inputs, device=lists.device)[rows]
            self._keep(here[:, None] * self.n_inputs + lists.clamp_min(0), values)

    def add_rows(self, rows: Tensor, values: Tensor) -> None:
        """What every input brings to some rows, `(rows, N)`."""
        self.by_input += values.sum(0)
        self.rows[rows] += values.sum(1)
        self.squares[rows] += values.square().sum(1)
        if self.pair.expects_edges:
            every = torch.arange(self.n_inputs, device=rows.device)
            self._keep(rows[:, None] * self.n_inputs + every, values)

    def _keep(self, places: Tensor, values: Tensor) -> None:
        is_there = values != 0
        self._edges.append((places[is_there], values[is_there]))

    def with_own(self, own: Tensor) -> Tensor:
        """The influence `(N,)`, from that of each input's own row, whose squares are right."""
        others = self.n_inputs - 1
        means = self.rows / others
        entered = self.by_input - (means.sum() - means)
        influence = own - own.mean() + entered - entered.mean()
        if self.pair.expects_edges:
            places, values = (torch.cat(part) for part in zip(*self._edges, strict=True))
            self.pair.edges = Edges(influence, means, places, values)
        total = influence.square().sum()
        twice = self.squares.sum() - others * means.square().sum()
        left = torch.where(total > 0, 1 - twice / total, 1.0).clamp(LEAST_LEFT, 1.0)
        return influence * left.sqrt()


class Lists(NamedTuple):
    """The neighbours of one side, who of them is one in the other too, and the two next ones."""

    lists: Tensor
    are_common: Tensor
    next_ones: Tensor
    would_be_common: Tensor

    def boundary(self, values: Tensor) -> Tensor:
        """The mean of values `(N, 2)` over the next ones there are, `(N,)`; 0 without any."""
        is_there = self.next_ones >= 0
        total = torch.where(is_there, values, 0.0).sum(1)
        return total / is_there.sum(1).clamp_min(1)


def lists_of(pair: Pair, k: int) -> tuple[Lists, Lists]:
    """The neighbours of both sides, `(N, k)`, and those after them, `(N, 2)`; -1 is nobody."""
    return pair.once(f"lists@{k}", lambda: _make_lists(pair, k))


def _make_lists(pair: Pair, k: int) -> tuple[Lists, Lists]:
    first, second = ((neighbour_lists(side, k), next_ones(side, k)) for side in (pair.a, pair.b))
    return (
        Lists(first[0], is_listed(first[0], second[0]), first[1], is_listed(first[1], second[0])),
        Lists(second[0], is_listed(second[0], first[0]), second[1], is_listed(second[1], first[0])),
    )


def next_ones(side: Side, k: int) -> Tensor:
    """The two nearest after the k, in either order, `(N, 2)`; -1 where there is none."""
    found = side.neighbours(k).next_ones
    assert found is not None
    return found.long()


def tied_boundary(sets: NeighbourSets, rows: Tensor) -> Tensor:
    """Who would take the place of a neighbour of these, `(rows, N)`: weights that sum to one.

    Where the last places are tied, those who share them; else the next ones.
    """
    found = torch.zeros(len(rows), sets.n_inputs + 1, dtype=torch.float64, device=rows.device)
    assert sets.next_ones is not None
    others = sets.next_ones[rows].long()
    found.scatter_(1, torch.where(others < 0, sets.n_inputs, others), 1.0)
    found = found[:, :-1]
    if sets.ties is not None:
        parts = sets.parts(rows)
        is_tied = sets.ties.places[rows] >= 0
        found = torch.where(is_tied[:, None], ((parts > 0) & (parts < 1)).double(), found)
    return found / found.sum(1, keepdim=True).clamp_min(1)


def influence_of_overlaps(pair: Pair, k: int, values: Tensor, slopes: Tensor) -> Tensor:
    """The influence of each input on the mean of a function of the number of common neighbours.

    **Arguments:** the function of each input's number, `(N,)`, and its slope there, `(N,)`.

    **Cost:** O(N k) per pair, and once per model and k the lists, which are N k numbers.
    """
    entered = Entered(pair)
    first, second = lists_of(pair, k)
    sets = pair.a.neighbours(k), pair.b.neighbours(k)
    here = slopes.clone()
    for rows in tied_in_either(*sets):
        here[rows] = 0.0
        parts = [some.parts(rows) for some in sets]
        edges = [tied_boundary(some, rows) for some in sets]
        alpha = (edges[0] * (parts[1] > parts[0])).sum(1, keepdim=True)
        beta = (edges[1] * (parts[0] > parts[1])).sum(1, keepdim=True)
        brought = torch.minimum(*parts) - alpha * parts[0] - beta * parts[1]
        entered.add_rows(rows, slopes[rows, None] * brought)
    alpha = first.boundary(first.would_be_common.double())[:, None]
    beta = second.boundary(second.would_be_common.double())[:, None]
    entered.add(first.lists, here[:, None] * (first.are_common * (1 - beta) - alpha))
    entered.add(second.lists, here[:, None] * torch.where(second.are_common, 0.0, -beta))
    return entered.with_own(values)


def influence_of_centring(side: Side, lists: Tensor, cosines: Tensor, slopes: Tensor) -> Tensor:
    """The influence of each input on a mean, `(N,)`, because it moves the mean of all rows.

    **Arguments:** lists of inputs `(N, k)`, -1 for nobody; the cosine of each input with those of
    its list; and how the value of the input changes with each of these cosines.

    **Cost:** O(N (k + D)).
    """
    n = side.n_inputs
    inverse = torch.where(side.row_lengths > 0, 1 / side.row_lengths, 0.0)
    slopes = torch.where(lists >= 0, slopes, 0.0)
    lists = lists.clamp_min(0)
    mine, theirs = inverse[:, None], inverse[lists]
    weights = (slopes * (theirs - cosines * mine)).sum(1)
    brought = (slopes * (mine - cosines * theirs)).flatten()
    weights += torch.bincount(lists.flatten(), weights=brought, minlength=n)
    weights *= inverse
    values = side.representation
    direction = -(values.T @ weights.to(values.dtype)).double() + side.means * weights.sum()
    return ((values @ direction.to(values.dtype)).double() - side.means @ direction) / n
