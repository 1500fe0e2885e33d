"""CKNNA: kernel alignment of mutual nearest neighbours only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samemind.lazy import LazyModule
from samemind.measures.base import Invariance, Pair, Side, measure
from samemind.sides.nearness import (
    cosines_at,
    is_listed,
    nan_unless_both_vary,
    neighbour_lists,
)
from samemind.sides.neighbour_sets import tied_in_both
from samemind.sides.ties import bit_counts

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = LazyModule("torch")

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
    # Neighbours and means are held fixed; numerator and norms are sums over the inputs.
    first, second = (_own_alignments(side, k) for side in (pair.a, pair.b))
    shares = _shares(pair, k=k)
    lean = first / first.sum() + second / second.sum()
    return shares - shares.mean() * pair.n_inputs * lean / 2


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
