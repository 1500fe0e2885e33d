"""Distances between two matrices over the inputs: norms of their difference, and Riemannian."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from samemind.lazy import torch
from samemind.measures.base import Invariance, Pair, measure
from samemind.sides import distances as pairwise

if TYPE_CHECKING:
    from torch import Tensor

_AT_SCALE = {Invariance.UNIT_PERMUTATION, Invariance.ORTHOGONAL, Invariance.TRANSLATION}
_COST = "O(N²) per pair, after O(N² D) and N² numbers per model"
_LANGE = "Lange et al. (2023), arXiv:2206.10999"


def _nan_unless_both_vary(pair: Pair, score: Tensor) -> Tensor:
    return torch.where((pair.a.norm > 0) & (pair.b.norm > 0), score, torch.nan)


def _at_scale(pair: Pair) -> Tensor:
    """Per input, the sum of squared differences of its distances to all others, `(N,)`."""
    return pair.once(
        "differences of distances",
        lambda: pairwise.difference_rows(pair, pair.a.norm, pair.b.norm),
    )


def _influence_on_root(rows: Tensor) -> Tensor:
    """The influence on the root of a sum over all pairs of inputs, from its sums by input."""
    total = rows.sum()
    # At distance zero the root has no slope, and there is nothing that could vary either.
    return torch.where(total > 0, (len(rows) * rows - total) / total.sqrt(), 0.0)


@measure(
    reads="representation",
    family="distance matrices",
    bounds=(0.0, inf),
    identical=0.0,
    larger_is_more_similar=False,
    invariances=_AT_SCALE,
    reference="Yin and Shen (2018), On the dimensionality of word embedding; Klabunde et al. "
    "(2025), ACM CSUR 57(9)",
    cost=_COST,
    influence=lambda pair: _influence_on_root(_at_scale(pair)),
)
def rsm_norm_difference(pair: Pair) -> Tensor:
    r"""Frobenius norm of the difference of the matrices of Euclidean distances.

    $$\Big( \sum_{i, j} \big(\|R_i - R_j\| - \|S_i - S_j\|\big)^2 \Big)^{1/2}$$

    In the units of the representation; it grows with N. Other software takes the spectral norm
    or one triangle only.

    >>> rsm_norm_difference([[0.0], [1.0]], [[0.0], [3.0]])
    2.8284271247461903
    """
    return _nan_unless_both_vary(pair, _at_scale(pair).sum().sqrt())


def _gram_difference(pair: Pair) -> Tensor:
    """The squared norm of the difference of the Gram matrices, `()`; 0 below rounding."""
    first, second = pair.a.norm.square(), pair.b.norm.square()
    own = first.square() * pair.a.gram_norm_squared + second.square() * pair.b.gram_norm_squared
    squared = own - 2 * first * second * pair.cross_norm_squared
    # A difference below rounding is none: the root would magnify it.
    return torch.where(squared > 1e-14 * own, squared, 0.0)


def _gram_influence(pair: Pair, *, rows: slice | Tensor) -> Tensor:
    first, second = pair.a.norm.square(), pair.b.norm.square()
    squared = _gram_difference(pair)
    moved = (
        first.square() * pair.a.gram_row_squares[rows]
        + second.square() * pair.b.gram_row_squares[rows]
        - 2 * first * second * pair.cross_at(rows)
    )
    moved = pair.n_inputs * moved - squared
    return torch.where(squared > 0, moved / squared.sqrt(), 0.0)


@measure(
    reads="representation",
    family="distance matrices",
    bounds=(0.0, inf),
    identical=0.0,
    larger_is_more_similar=False,
    invariances=_AT_SCALE,
    reference="Yin and Shen (2018), On the dimensionality of word embedding",
    cost="O(N D1 D2) per pair, after O(N D²) per model",
    influence=_gram_influence,
    streams=True,
)
def gram_norm_difference(pair: Pair) -> Tensor:
    r"""Frobenius norm of the difference of the centred Gram matrices (PIP loss).

    $$\|R R^\top - S S^\top\|_F$$

    with centred columns, in squared units of the representation.

    >>> gram_norm_difference([[0.0], [2.0]], [[0.0], [4.0]])
    6.0
    """
    return _nan_unless_both_vary(pair, _gram_difference(pair).sqrt())


@measure(
    reads="representation",
    family="distance matrices",
    bounds=(0.0, inf),
    identical=0.0,
    larger_is_more_similar=False,
    invariances=_AT_SCALE,
    reference=_LANGE,
    cost=_COST,
    influence=lambda pair: (
        _influence_on_root(_at_scale(pair)) / (pair.n_inputs * (pair.n_inputs - 1)) ** 0.5
    ),
)
def stress(pair: Pair) -> Tensor:
    r"""Root mean squared difference of the distances between inputs, a metric.

    $$\Big( \frac{2}{N (N - 1)} \sum_{i < j} \big(\|R_i - R_j\| - \|S_i - S_j\|\big)^2
    \Big)^{1/2}$$

    In the units of the representation. `rescaled_stress` has none.

    >>> stress([[0.0], [1.0]], [[0.0], [3.0]])
    2.0
    """
    n = pair.n_inputs
    return _nan_unless_both_vary(pair, (_at_scale(pair).sum() / (n * (n - 1))).sqrt())


def _rescaled(pair: Pair) -> Tensor:
    scales = [1 / pairwise.median_distance(side) for side in (pair.a, pair.b)]
    return pair.once(
        "differences of rescaled distances", lambda: pairwise.difference_rows(pair, *scales)
    )


def _rescaled_influence(pair: Pair) -> Tensor:
    rows, n = _rescaled(pair), pair.n_inputs
    moved = _influence_on_root(rows)
    total = rows.sum()
    first, second = (pairwise.median_distance(side) for side in (pair.a, pair.b))
    squares = [
        (side.whole("sum of squared distances", pairwise.sum_of_squares) / median.square())
        for side, median in ((pair.a, first), (pair.b, second))
    ]
    # By how much the sum falls if a median grows by its own size.
    both = (squares[0] + squares[1] - total) / 2
    for side, own, median in ((pair.a, squares[0], first), (pair.b, squares[1], second)):
        of_median = pairwise.influence_on_median(side) / median
        moved = moved - torch.where(total > 0, (own - both) / total.sqrt(), 0.0) * of_median
    return moved / (n * (n - 1)) ** 0.5


@measure(
    reads="representation",
    family="distance matrices",
    bounds=(0.0, inf),
    identical=0.0,
    larger_is_more_similar=False,
    invariances=_AT_SCALE | {Invariance.ISOTROPIC_SCALING},
    reference=_LANGE,
    cost=_COST,
    influence=_rescaled_influence,
)
def rescaled_stress(pair: Pair) -> Tensor:
    r"""Root mean squared difference of distances in units of each model's median distance.

    `stress` of representations that are scaled so that the median distance between two inputs
    is one.

    >>> rescaled_stress([[0.0], [1.0]], [[0.0], [3.0]])
    0.0
    """
    n = pair.n_inputs
    return (_rescaled(pair).sum() / (n * (n - 1))).sqrt()
