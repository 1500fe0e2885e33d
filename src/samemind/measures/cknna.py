"""CKNNA: kernel alignment of mutual nearest neighbours only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samemind.lazy import torch
from samemind.measures.base import Invariance, Pair, Side, measure
from samemind.sides.entering import Entered, lists_of, tied_boundary
from samemind.sides.nearness import (
    cosines_at,
    cosines_with_all,
    is_listed,
    nan_unless_both_vary,
    neighbour_lists,
)
from samemind.sides.neighbour_sets import tied_in_both, tied_in_either
from samemind.sides.ties import bit_counts

if TYPE_CHECKING:
    from torch import Tensor

_INVARIANCES = {
    Invariance.UNIT_PERMUTATION,
    Invariance.ORTHOGONAL,
    Invariance.ISOTROPIC_SCALING,
    Invariance.TRANSLATION,
}
_HUH = "Huh et al. (2024), The Platonic Representation Hypothesis, arXiv:2405.07987"
_COST = "O(N k D) per pair, after O(N² D) per model for all k"


def _mean_cosines(side: Side) -> Tensor:
    """The mean cosine of each centred row with all rows, itself included, `(N,)`."""

    def make(side: Side) -> Tensor:
        lengths = side.row_lengths
        directions = side.centred.double() * torch.where(lengths > 0, 1 / lengths, 0.0)[:, None]
        return directions @ directions.mean(0)

    return side.rows("mean cosines", make)


def _centred_cosines(side: Side, lists: Tensor) -> Tensor:
    return cosines_at(side, lists) - _mean_cosines(side)[:, None]


def _alignments(pair: Pair, k: int) -> Tensor:
    """Per input, the part of its neighbours in the alignment of both sides, `(N,)`."""
    first, second = neighbour_lists(pair.a, k), neighbour_lists(pair.b, k)
    a, b = _centred_cosines(pair.a, first), _centred_cosines(pair.b, first)
    found = (a * b * is_listed(first, second)).sum(1)
    one, other = pair.a.neighbours(k).ties, pair.b.neighbours(k).ties
    own = torch.arange(len(first), device=first.device)[:, None].expand_as(first)
    if other is not None:
        found += (a * b * other.parts_of(own, first)).sum(1)
    if one is not None:
        a, b = _centred_cosines(pair.a, second), _centred_cosines(pair.b, second)
        found += (a * b * one.parts_of(own, second)).sum(1)
    if one is not None and other is not None:
        rows, mine, theirs = tied_in_both(one, other)
        a = one.cosines[mine] - _mean_cosines(pair.a)[rows]
        b = other.cosines[theirs] - _mean_cosines(pair.b)[rows]
        n_both = bit_counts(one.bits[mine] & other.bits[theirs])
        found[rows] += a * b * n_both * torch.minimum(one.shares[mine], other.shares[theirs])
    return found


def _own_alignments(side: Side, k: int) -> Tensor:
    return side.rows(f"own alignment@{k}", lambda s: _make_own_alignments(s, k))


def _make_own_alignments(side: Side, k: int) -> Tensor:
    lists, ties = neighbour_lists(side, k), side.neighbours(k).ties
    squares = _centred_cosines(side, lists).square()
    if ties is None:
        return squares.sum(1)
    found = torch.where(lists >= 0, squares, 0.0).sum(1)
    there = (ties.cosines - _mean_cosines(side)[ties.rows]).square()
    found[ties.rows] += there * (k - ties.nearer)
    return found


def _shares(pair: Pair, *, k: int) -> Tensor:
    norms = (_own_alignments(side, k).sum() for side in (pair.a, pair.b))
    return pair.n_inputs * _alignments(pair, k) / (next(norms) * next(norms)).sqrt()


def _influence(pair: Pair, *, k: int) -> Tensor:
    # Numerator and norms are sums over the inputs and, in each, over its neighbours.
    n, shares = pair.n_inputs, _shares(pair, k=k)
    norms = [_own_alignments(side, k) for side in (pair.a, pair.b)]
    totals = [float(norm.sum()) for norm in norms]
    scale, lean = n / (totals[0] * totals[1]) ** 0.5, float(shares.mean()) * n / 2
    leans = lean / totals[0], lean / totals[1]
    own = shares - norms[0] * leans[0] - norms[1] * leans[1]
    entered, (first, second) = Entered(pair), lists_of(pair, k)
    sets = pair.a.neighbours(k), pair.b.neighbours(k)
    is_whole = torch.ones(n, 1, dtype=torch.float64, device=own.device)
    for rows in tied_in_either(*sets):
        is_whole[rows] = 0.0
        a, b = (
            cosines_with_all(side, rows).double() - _mean_cosines(side)[rows, None]
            for side in (pair.a, pair.b)
        )
        parts, edges = zip(
            *((some.parts(rows), tied_boundary(some, rows)) for some in sets), strict=True
        )
        one = scale * a * b * (parts[1] > parts[0]) - leans[0] * a * a
        other = scale * a * b * (parts[0] > parts[1]) - leans[1] * b * b
        brought = scale * a * b * torch.minimum(*parts)
        for part, edge, each, gain, square in zip(
            parts, edges, (a, b), (one, other), leans, strict=True
        ):
            brought -= part * (square * each * each + (edge * gain).sum(1, keepdim=True))
        entered.add_rows(rows, brought)
    gains, others, limits = [], [], []
    for found in (first, second):
        a, b = (_centred_cosines(side, found.lists) for side in (pair.a, pair.b))
        mine, theirs = (a, b) if found is first else (b, a)
        lean, against = leans if found is first else leans[::-1]
        gains.append(scale * a * b * found.are_common - lean * mine.square())
        others.append(against * theirs.square())
        a, b = (_centred_cosines(side, found.next_ones) for side in (pair.a, pair.b))
        mine = a if found is first else b
        gain = scale * a * b * found.would_be_common - lean * mine.square()
        limits.append(found.boundary(gain)[:, None])
    common = first.are_common * (others[0] + limits[1])
    entered.add(first.lists, is_whole * (gains[0] - limits[0] - common))
    alone = torch.where(second.are_common, 0.0, gains[1] - limits[1])
    entered.add(second.lists, is_whole * alone)
    return entered.with_own(own)


@measure(
    reads="representation",
    family="neighbours",
    bounds=(-1.0, 1.0),
    identical=1.0,
    invariances=_INVARIANCES,
    reference=_HUH,
    cost=_COST,
    per_input=_shares,
    influence=_influence,
)
def cknna(pair: Pair, *, k: int = 10) -> Tensor:
    r"""Alignment of cosines between mutual nearest neighbours only (CKNNA), in [-1, 1]; k = 10.

    $$\frac{A(K, L)}{\sqrt{A(K, K)\, A(L, L)}}, \quad
    A(K, L) = \sum_i \sum_{j \in N_k^R(i) \cap N_k^S(i)}
    (K_{ij} - \bar K_i)(L_{ij} - \bar L_i)$$

    with K and L the cosines of centred rows and $\bar K_i$ the mean of row i, as the paper prints
    it. The authors' code differs: it masks first and then takes the unbiased HSIC of the masked
    matrices, which are not symmetric, and so its score depends on the order of the models.

    >>> R = [[0.0, 1.0], [0.1, 1.2], [1.0, 0.0], [1.2, 0.1]]
    >>> round(cknna.at(2)(R, [[3 * x, 3 * y] for x, y in R]), 6)
    1.0
    """
    return nan_unless_both_vary(pair, _shares(pair, k=k).mean())
