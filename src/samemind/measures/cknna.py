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
    return (a * b * is_listed(first, second)).sum(1)


def _own_alignments(side: Side, k: int) -> Tensor:
    return side.rows(
        f"own alignment@{k}",
        lambda s: _centred_cosines(s, neighbour_lists(s, k)).square().sum(1),
    )


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
