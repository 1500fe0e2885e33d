"""Relatives of linear CKA: the same norms of covariances, put together otherwise."""

from __future__ import annotations

from math import inf, pi
from typing import TYPE_CHECKING

from samemind.lazy import torch
from samemind.measures.base import Floor, Invariance, Pair, Side, measure
from samemind.measures.linear_cka import linear_cka

if TYPE_CHECKING:
    from torch import Tensor

_INVARIANCES = {
    Invariance.UNIT_PERMUTATION,
    Invariance.ORTHOGONAL,
    Invariance.ISOTROPIC_SCALING,
    Invariance.TRANSLATION,
}
_COST = "O(N D1 D2) per pair, after O(N D²) per model"


def _alignment(pair: Pair) -> Tensor:
    score = linear_cka.compute(pair)
    assert isinstance(score, torch.Tensor)
    return score


def _alignment_influence(pair: Pair, *, rows: slice | Tensor) -> Tensor:
    assert linear_cka.influence_of_inputs is not None
    found = linear_cka.influence_of_inputs(pair, rows=rows)
    assert found is not None
    return found


def _alignment_floor(pair: Pair) -> Floor | None:
    assert linear_cka.closed_form_floor is not None
    return linear_cka.closed_form_floor(pair)


def _alignment_shares(pair: Pair) -> Tensor:
    assert linear_cka.per_input is not None
    return linear_cka.per_input(pair)


@measure(
    reads="representation",
    family="kernel alignment",
    bounds=(0.0, 1.0),
    identical=1.0,
    invariances=_INVARIANCES,
    reference="Robert and Escoufier (1976), doi:10.2307/2347233",
    cost=_COST,
    per_input=_alignment_shares,
    influence=_alignment_influence,
    floor=_alignment_floor,
    streams=True,
)
def rv_coefficient(pair: Pair) -> Tensor:
    r"""The RV coefficient, the older name of biased linear CKA, in [0, 1].

    With centred columns,

    $$\frac{\operatorname{tr}(R^\top S\, S^\top R)}
    {\sqrt{\operatorname{tr}((R^\top R)^2) \operatorname{tr}((S^\top S)^2)}}$$

    equal to `linear_cka` to the last digit: it is computed by it.

    >>> rv_coefficient([[0.0, 1.0], [1.0, 0.0], [2.0, 5.0]], [[1.0, 0.0], [0.0, -1.0], [5.0, -2.0]])
    1.0
    """
    return _alignment(pair)


def _angular_influence(pair: Pair, *, rows: slice | Tensor) -> Tensor:
    sine = (1 - _alignment(pair).square()).clamp_min(0).sqrt()
    # At angle zero the arc has no slope, and there is nothing that could vary either.
    return torch.where(sine > 1e-7, -1 / sine, 0.0) * _alignment_influence(pair, rows=rows)


@measure(
    reads="representation",
    family="kernel alignment",
    bounds=(0.0, pi / 2),
    identical=0.0,
    larger_is_more_similar=False,
    invariances=_INVARIANCES,
    reference="Williams et al. (2021), arXiv:2110.14739; Lange et al. (2023), arXiv:2206.10999",
    cost=_COST,
    influence=_angular_influence,
    streams=True,
)
def angular_cka_distance(pair: Pair) -> Tensor:
    r"""The angle between two centred Gram matrices, a metric, in [0, π/2].

    $$\arccos \mathrm{CKA}(R, S)$$

    with the biased linear CKA. Near zero the arc magnifies rounding: it is good to the root of
    the working precision.

    >>> R = [[0.0, 1.0], [1.0, 0.0], [2.0, 5.0]]
    >>> round(angular_cka_distance(R, [[1.0], [0.0], [5.0]]), 4)
    0.108
    """
    return _alignment(pair).clamp(-1, 1).arccos()


def _off_diagonal_norm(side: Side) -> Tensor:
    left = side.gram_norm_squared - side.unit_row_squares.square().sum()
    # What is left of a difference of equals is rounding, and a score by it would be invented.
    return torch.where(left > 1e-12 * side.gram_norm_squared, left, torch.nan)


def _off_diagonal_cross(pair: Pair) -> Tensor:
    return pair.cross_norm_squared - pair.a.unit_row_squares @ pair.b.unit_row_squares


def _off_diagonal_influence(pair: Pair, *, rows: slice | Tensor) -> Tensor:
    n, cross = pair.n_inputs, _off_diagonal_cross(pair)
    first, second = (_off_diagonal_norm(side) for side in (pair.a, pair.b))
    moved = n * _off_diagonal_rows(pair, pair.cross_at(rows), rows) - cross
    lean = torch.zeros_like(moved)
    for side, norm in ((pair.a, first), (pair.b, second)):
        own = Pair(side, side)
        lean += (n * _off_diagonal_rows(own, side.gram_row_squares[rows], rows) - norm) / norm
    return (2 * moved - cross * lean) / (first * second).sqrt()


def _off_diagonal_rows(pair: Pair, products: Tensor, rows: slice | Tensor) -> Tensor:
    """What these inputs move the sum over i ≠ j of K_ij L_ij by, halved, from row sums of K L.

    The sum of all of it moves by its rows twice over, the diagonal by its entries once, and by
    what an input does to the mean that every row was centred by.
    """
    k, other_k = pair.a.unit_row_squares, pair.b.unit_row_squares
    centring = pair.a.gram_times(other_k, rows)
    # Of a side with itself the same, which need not be read from its source again.
    centring = centring + (centring if pair.b is pair.a else pair.b.gram_times(k, rows))
    diagonal = (k * other_k)[rows] + (k @ other_k) / pair.n_inputs
    return products - diagonal / 2 + centring / pair.n_inputs


@measure(
    reads="representation",
    family="kernel alignment",
    bounds=(-1.0, 1.0),
    identical=1.0,
    invariances=_INVARIANCES,
    reference="Smilde et al. (2009), doi:10.1093/bioinformatics/btn634; "
    "Lange et al. (2023), arXiv:2206.10999",
    cost=_COST,
    influence=_off_diagonal_influence,
    streams=True,
)
def diagonal_removed_linear_cka(pair: Pair) -> Tensor:
    r"""Cosine of two centred Gram matrices without their diagonals, in [-1, 1].

    $$\frac{\sum_{i \ne j} K_{ij} L_{ij}}
    {\sqrt{\sum_{i \ne j} K_{ij}^2 \sum_{i \ne j} L_{ij}^2}}, \quad
    K = R R^\top,\; L = S S^\top$$

    The modified RV coefficient (RV₂). It has most of the bias of `linear_cka` removed, and is
    called "unbiased" in places; the unbiased estimator is in `debiased_linear_cka`.

    >>> R = [[0.0, 1.0], [1.0, 0.0], [2.0, 5.0], [3.0, 1.0]]
    >>> round(diagonal_removed_linear_cka(R, [[-y, x] for x, y in R]), 6)
    1.0
    """
    return _off_diagonal_cross(pair) / (
        _off_diagonal_norm(pair.a).sqrt() * _off_diagonal_norm(pair.b).sqrt()
    )


def _shared_influence(pair: Pair, *, rows: slice | Tensor) -> Tensor:
    # A product of powers of five sums over inputs: the relative moves add up. That of the sum
    # which may be zero is not divided by it.
    norms = pair.a.gram_norm_squared * pair.b.gram_norm_squared
    moved = torch.zeros_like(pair.a.unit_row_squares[rows])
    for side in (pair.a, pair.b):
        moved += side.unit_row_squares[rows]
        moved -= 2 * side.gram_row_squares[rows] / side.gram_norm_squared
    score = effective_shared_dimensions.compute(pair)
    return pair.n_inputs * (2 * pair.cross_at(rows) / norms + score * moved)


@measure(
    reads="representation",
    family="kernel alignment",
    bounds=(0.0, inf),
    identical=None,
    invariances=_INVARIANCES,
    reference="Giaffar, Rullán Buxó and Aoi (2024), The effective number of shared dimensions "
    "between paired datasets",
    cost=_COST,
    influence=_shared_influence,
    streams=True,
)
def effective_shared_dimensions(pair: Pair) -> Tensor:
    r"""The effective number of dimensions that two representations share (ENSD).

    With centred columns, $K = R R^\top$ and $L = S S^\top$,

    $$\frac{\operatorname{tr} K \, \operatorname{tr} L \, \operatorname{tr}(K L)}
    {\operatorname{tr}(K^2) \operatorname{tr}(L^2)}$$

    Of a model with itself it is the participation ratio $(\operatorname{tr} K)^2 /
    \operatorname{tr} K^2$ of its spectrum, and `linear_cka` is this over the geometric mean of
    both ratios.

    >>> R = [[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]]
    >>> round(effective_shared_dimensions(R, [[1.0], [0.0], [-1.0]]), 6)
    1.0
    """
    return pair.cross_norm_squared / (pair.a.gram_norm_squared * pair.b.gram_norm_squared)
