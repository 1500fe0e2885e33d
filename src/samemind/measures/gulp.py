"""GULP: how differently two representations predict, over all targets of a ridge regression."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from samemind.lazy import torch
from samemind.measures.base import Invariance, Pair, Side, measure
from samemind.sides import moments
from samemind.sides.whitening import (
    directions,
    rotated_cross_covariance,
    why_leverage_is_too_high,
)

if TYPE_CHECKING:
    from torch import Tensor

_INVARIANCES = {
    Invariance.UNIT_PERMUTATION,
    Invariance.ORTHOGONAL,
    Invariance.ISOTROPIC_SCALING,
    Invariance.TRANSLATION,
}
_REFERENCE = "Boix-Adserà et al. (2022), GULP: a prediction-based metric, arXiv:2210.06545"
_COST = "O(N D1 D2 + D³) per pair, after O(N D² + D³) per model, in float64"


def _own(side: Side, ridge: float) -> Tensor:
    variances = directions(side).variances
    return (variances / (variances + ridge)).square().sum()


def _squared(pair: Pair, ridge: float) -> Tensor:
    first, second = (directions(side).variances + ridge for side in (pair.a, pair.b))
    shared = (rotated_cross_covariance(pair).square() / (first[:, None] * second)).sum()
    own = _own(pair.a, ridge) + _own(pair.b, ridge)
    squared = own - 2 * shared
    # A difference below rounding is none: the root would magnify it.
    return squared * (squared > 1e-13 * own)


def _influence_on_square(pair: Pair, *, ridge: float, rows: slice | Tensor) -> Tensor:
    def formula(a: moments.Covariance, b: moments.Covariance, cross: Tensor) -> Tensor:
        cross = cross / (a.trace * b.trace).sqrt()
        a, b = a.with_trace_one, b.with_trace_one
        first, second = a.ridge_inverse(ridge), b.ridge_inverse(ridge)
        own = [inverse @ side.matrix for inverse, side in ((first, a), (second, b))]
        shared = (first @ cross @ second * cross).sum()
        return sum((part * part.T).sum() for part in own) - 2 * shared

    return moments.influence(pair, formula, rows)


def _influence(pair: Pair, *, ridge: float, rows: slice | Tensor) -> Tensor:
    squared = _squared(pair, ridge)
    # At distance zero the root has no slope, and there is nothing that could vary either.
    slope = torch.where(squared > 0, 1 / (2 * squared.sqrt()), 0.0)
    return slope * _influence_on_square(pair, ridge=ridge, rows=rows)


def _unsettled(pair: Pair, *, ridge: float) -> str | None:
    return why_leverage_is_too_high(pair.a, pair.b, ridge=ridge)


@measure(
    reads="representation",
    family="regression",
    bounds=(0.0, inf),
    identical=0.0,
    larger_is_more_similar=False,
    invariances=_INVARIANCES,
    reference=_REFERENCE,
    cost=_COST,
    influence=_influence,
    unsettled=_unsettled,
    streams=True,
)
def gulp_distance(pair: Pair, *, ridge: float = 0.01) -> Tensor:
    r"""The largest difference of two models' ridge regressions on any target; ridge = 0.01.

    $$\sqrt{\operatorname{tr}(A_\lambda A A_\lambda A) + \operatorname{tr}(B_\lambda B B_\lambda B)
    - 2 \operatorname{tr}(A_\lambda C B_\lambda C^\top)}, \quad A_\lambda = (A + \lambda I)^{-1}$$

    with the covariances A, B and C of the centred representations at Frobenius norm one, so that
    the variances of each sum to one. A metric. As the ridge goes to zero its square becomes
    $r_1 + r_2 - 2 \sum_k \rho_k^2$, with the ranks and the canonical correlations.

    >>> round(gulp_distance([[0.0], [1.0], [2.0], [4.0]], [[0.0], [1.0], [0.0], [1.0]]), 4)
    1.2068
    """
    return _squared(pair, ridge).sqrt()


@measure(
    reads="representation",
    family="regression",
    bounds=(0.0, inf),
    identical=0.0,
    larger_is_more_similar=False,
    invariances=_INVARIANCES,
    reference=_REFERENCE,
    cost=_COST,
    influence=_influence_on_square,
    unsettled=_unsettled,
    streams=True,
)
def gulp_distance_squared(pair: Pair, *, ridge: float = 0.01) -> Tensor:
    r"""The square of `gulp_distance`, which the authors' code returns; ridge = 0.01.

    >>> round(gulp_distance_squared([[0.0], [1.0], [2.0], [4.0]], [[0.0], [1.0], [0.0], [1.0]]), 4)
    1.4564
    """
    return _squared(pair, ridge)
