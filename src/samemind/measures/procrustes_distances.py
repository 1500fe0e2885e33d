"""The distances made from the orthogonal Procrustes problem, each under its own name.

All are functions of one number, the nuclear norm of the cross-covariance of the centred
representations at Frobenius norm one, which is `procrustes_similarity`.
"""

from __future__ import annotations

from collections.abc import Callable
from math import acos, inf, pi, sqrt
from typing import TYPE_CHECKING

from samemind.lazy import torch
from samemind.measures.base import Invariance, Pair, measure
from samemind.measures.procrustes_similarity import floor_of, procrustes_similarity
from samemind.measures.shuffling import nuclear_floor

if TYPE_CHECKING:
    from torch import Tensor

_INVARIANCES = {
    Invariance.UNIT_PERMUTATION,
    Invariance.ORTHOGONAL,
    Invariance.ISOTROPIC_SCALING,
    Invariance.TRANSLATION,
}
_COST = "O(N D1 D2 + D1 D2 min(D1, D2)) per pair"
_WILLIAMS = "Williams et al. (2021), arXiv:2110.14739"
#: What a sum of singular values may fall short of one by rounding alone.
_ROUNDING = 2e-14


def _similarity(pair: Pair) -> Tensor:
    score = procrustes_similarity.compute(pair)
    assert isinstance(score, torch.Tensor)
    return score


def _shares(pair: Pair) -> Tensor:
    assert procrustes_similarity.per_input is not None
    return procrustes_similarity.per_input(pair)


def _influence(pair: Pair, *, rows: slice | Tensor) -> Tensor:
    assert procrustes_similarity.influence_of_inputs is not None
    found = procrustes_similarity.influence_of_inputs(pair, rows=rows)
    assert found is not None
    return found


def _shortfall(pair: Pair) -> Tensor:
    """One minus the similarity; what is below rounding is zero, since roots would magnify it."""
    left = 1 - _similarity(pair)
    return torch.where(left < _ROUNDING, 0.0, left)


def _influence_through(slope: Callable[[Pair], Tensor]) -> Callable[..., Tensor]:
    """The influence on a function of the similarity with this slope."""

    def influence(pair: Pair, *, rows: slice | Tensor) -> Tensor:
        # At distance zero a root has no slope, and there is nothing that could vary either.
        there = torch.where(_shortfall(pair) > 1e-14, slope(pair), 0.0)
        return there * _influence(pair, rows=rows)

    return influence


def _distance(pair: Pair) -> Tensor:
    return (2 * _shortfall(pair)).sqrt()


@measure(
    reads="representation",
    family="alignment",
    bounds=(0.0, sqrt(2)),
    identical=0.0,
    larger_is_more_similar=False,
    invariances=_INVARIANCES,
    reference="Ding et al. (2021), arXiv:2108.01661; " + _WILLIAMS,
    cost=_COST,
    influence=_influence_through(lambda pair: -1 / _distance(pair)),
    floor=floor_of(lambda _, similarity: sqrt(2 - 2 * similarity)),
    streams=True,
)
def procrustes_distance(pair: Pair) -> Tensor:
    r"""Distance left after the best rotation, centred and at norm one, a metric, in [0, √2].

    $$d = \min_{Q^\top Q = I} \|RQ - S\|_F = \sqrt{2 - 2\,\|R^\top S\|_*}$$

    Near zero the root magnifies rounding: it is good to the root of the working precision.

    >>> R = [[0.0, 1.0], [1.0, 0.0], [2.0, 5.0]]
    >>> round(procrustes_distance(R, [[1.0], [0.0], [5.0]]), 4)
    0.233
    """
    return _distance(pair)


@measure(
    reads="representation",
    family="alignment",
    bounds=(0.0, 2.0),
    identical=0.0,
    larger_is_more_similar=False,
    invariances=_INVARIANCES,
    reference="Ding et al. (2021), arXiv:2108.01661",
    cost=_COST,
    per_input=lambda pair: 2 - 2 * _shares(pair),
    influence=lambda pair, *, rows: -2 * _influence(pair, rows=rows),
    floor=floor_of(lambda _, similarity: 2 - 2 * similarity),
    streams=True,
)
def procrustes_distance_squared(pair: Pair) -> Tensor:
    r"""Squared distance left after the best rotation, centred and at norm one, in [0, 2].

    $$d^2 = \min_{Q^\top Q = I} \|RQ - S\|_F^2 = 2 - 2\,\|R^\top S\|_*$$

    What the paper's released code and Ding et al. call the Procrustes distance;
    `procrustes_similarity` is one minus half of it.

    >>> R = [[0.0, 1.0], [1.0, 0.0], [2.0, 5.0]]
    >>> round(procrustes_distance_squared(R, [[1.0], [0.0], [5.0]]), 4)
    0.0543
    """
    return 2 * _shortfall(pair)


def _sine(pair: Pair) -> Tensor:
    return (1 - _similarity(pair).square()).clamp_min(0).sqrt()


@measure(
    reads="representation",
    family="alignment",
    bounds=(0.0, pi / 2),
    identical=0.0,
    larger_is_more_similar=False,
    invariances=_INVARIANCES,
    reference=_WILLIAMS,
    cost=_COST,
    influence=_influence_through(lambda pair: -1 / _sine(pair)),
    floor=floor_of(lambda _, similarity: acos(similarity)),
    streams=True,
)
def angular_procrustes_distance(pair: Pair) -> Tensor:
    r"""Angle left after the best rotation, a metric, in [0, π/2].

    With centred columns and unit Frobenius norm,

    $$\theta = \min_{Q^\top Q = I} \arccos \langle RQ, S \rangle = \arccos \|R^\top S\|_*$$

    Computed as $2 \arcsin(d / 2)$, which keeps the digits of small angles.

    >>> R = [[0.0, 1.0], [1.0, 0.0], [2.0, 5.0]]
    >>> round(angular_procrustes_distance(R, [[1.0], [0.0], [5.0]]), 4)
    0.2336
    """
    return 2 * (_distance(pair) / 2).arcsin()


def size_and_shape(pair: Pair, shortfall: Tensor | float) -> Tensor:
    """The distance at the given scales, from what the similarity at norm one falls short of 1."""
    first, second = pair.a.norm, pair.b.norm
    return ((first - second).square() + 2 * first * second * shortfall).sqrt()


def influence_on_size_and_shape(
    pair: Pair, shortfall: Tensor, aligned: Tensor, rows: slice | Tensor
) -> Tensor:
    """The influence on it of these inputs, from the product of both rows when aligned."""
    first, second = pair.a.norm, pair.b.norm
    squares = [
        norm.square() * (pair.n_inputs * side.unit_row_squares[rows] - 1)
        for norm, side in ((first, pair.a), (second, pair.b))
    ]
    shared = first * second * (pair.n_inputs * aligned - (1 - shortfall))
    distance = size_and_shape(pair, shortfall)
    # At distance zero the root has no slope, and there is nothing that could vary either.
    slope = torch.where(distance > 0, 1 / (2 * distance), 0.0)
    return slope * (squares[0] + squares[1] - 2 * shared)


@measure(
    reads="representation",
    family="alignment",
    bounds=(0.0, inf),
    identical=0.0,
    larger_is_more_similar=False,
    invariances=_INVARIANCES - {Invariance.ISOTROPIC_SCALING},
    reference=_WILLIAMS,
    cost=_COST,
    influence=lambda pair, *, rows: influence_on_size_and_shape(
        pair, _shortfall(pair), pair.aligned_at(rows), rows
    ),
    floor=floor_of(lambda pair, similarity: float(size_and_shape(pair, 1 - similarity))),
    streams=True,
)
def procrustes_size_and_shape_distance(pair: Pair) -> Tensor:
    r"""Distance left after the best rotation, centred but at the given scales, a metric.

    $$\min_{Q^\top Q = I} \|RQ - S\|_F = \sqrt{\|R\|_F^2 + \|S\|_F^2 - 2\,\|R^\top S\|_*}$$

    It is in the units of the representation, and grows with the root of N.

    >>> procrustes_size_and_shape_distance([[0.0], [2.0]], [[0.0, 0.0], [0.0, 4.0]])
    1.4142135623730951
    """
    return size_and_shape(pair, _shortfall(pair))


@measure(
    reads="representation",
    family="alignment",
    bounds=(0.0, 1.0),
    identical=0.0,
    larger_is_more_similar=False,
    invariances=_INVARIANCES,
    reference="Gower (1975), doi:10.1007/BF02291478; scipy.spatial.procrustes",
    cost=_COST,
    influence=lambda pair, *, rows: -2 * _similarity(pair) * _influence(pair, rows=rows),
    floor=floor_of(lambda _, similarity: 1 - similarity**2),
    streams=True,
)
def procrustes_disparity(pair: Pair) -> Tensor:
    r"""Sum of squares left after the best rotation and the best scaling, in [0, 1].

    With centred columns and unit Frobenius norm,

    $$\min_{s,\; Q^\top Q = I} \|s R Q - S\|_F^2 = 1 - \|R^\top S\|_*^2$$

    >>> R = [[0.0, 1.0], [1.0, 0.0], [2.0, 5.0]]
    >>> round(procrustes_disparity(R, [[1.0], [0.0], [5.0]]), 4)
    0.0536
    """
    left = _shortfall(pair)
    return left * (2 - left)


@measure(
    reads="representation",
    family="kernel alignment",
    bounds=(0.0, 1.0),
    identical=1.0,
    invariances=_INVARIANCES,
    reference="Tang, Maheswaranathan and Ganguli (2020), arXiv:2003.11539; "
    "Harvey, Larsen and Williams (2023), arXiv:2311.11436",
    cost=_COST,
    per_input=_shares,
    influence=_influence,
    floor=nuclear_floor,
    streams=True,
)
def normalised_bures_similarity(pair: Pair) -> Tensor:
    r"""The normalised fidelity of two centred Gram matrices, in [0, 1].

    $$\frac{\operatorname{tr}\big((K^{1/2} L K^{1/2})^{1/2}\big)}
    {\sqrt{\operatorname{tr} K \operatorname{tr} L}}, \quad K = R R^\top,\; L = S S^\top$$

    It is the nuclear norm of the cross-covariance, so equal to `procrustes_similarity` to the
    last digit: it is computed by it.

    >>> R = [[0.0, 1.0], [1.0, 0.0], [2.0, 5.0]]
    >>> normalised_bures_similarity(R, [[7 - 3 * y, 7 + 3 * x] for x, y in R])
    1.0
    """
    return _similarity(pair)
