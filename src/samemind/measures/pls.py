"""Partial least squares: how strongly the directions of largest covariance correlate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samemind.lazy import torch
from samemind.measures.base import Invariance, Pair, measure
from samemind.sides import moments
from samemind.sides.whitening import (
    APART,
    check_inputs_suffice,
    directions,
    ranks,
    rotated_cross_covariance,
)

if TYPE_CHECKING:
    from torch import Tensor


def _kept(values: Tensor) -> int:
    return int((values > 1e-10 * values[0]).sum())


def _influence(pair: Pair, *, rows: slice | Tensor) -> Tensor:
    def formula(a: moments.Covariance, b: moments.Covariance, cross: Tensor) -> Tensor:
        left, values, right = torch.linalg.svd(cross, full_matrices=False)
        kept = _kept(values)
        left, values, right = left[:, :kept], values[:kept], right[:kept]
        first = (left * (a.matrix @ left)).sum(0)
        second = (right * (right @ b.matrix)).sum(1)
        return (values / (first * second).sqrt()).mean()

    return moments.influence(pair, formula, rows)


def _unsettled(pair: Pair) -> str | None:
    values = torch.linalg.svdvals(rotated_cross_covariance(pair))
    values = torch.cat([values[: _kept(values)], values.new_zeros(1)])
    # A cross-covariance of two variables is known to within the root of their variances over N.
    largest = (directions(pair.a).variances[0] * directions(pair.b).variances[0]).sqrt()
    if bool((values[:-1] - values[1:] > APART / 2 * largest / pair.n_inputs**0.5).all()):
        return None
    return (
        f"covariances lie closer together than {pair.n_inputs} inputs can tell, so the directions "
        f"that are paired turn by jumps"
    )


@measure(
    reads="representation",
    family="canonical correlation",
    bounds=(0.0, 1.0),
    identical=1.0,
    invariances={
        Invariance.UNIT_PERMUTATION,
        Invariance.ORTHOGONAL,
        Invariance.ISOTROPIC_SCALING,
        Invariance.TRANSLATION,
    },
    reference="Wegelin (2000), A survey of partial least squares (PLS) methods",
    cost="O(N D1 D2 + D³) per pair, after O(N D² + D³) per model, in float64",
    influence=_influence,
    unsettled=_unsettled,
    streams=True,
)
def mean_pls_correlation(pair: Pair) -> Tensor:
    r"""The mean correlation of paired directions of largest covariance, in [0, 1].

    $$\frac1r \sum_{k=1}^{r} \operatorname{corr}(R u_k, S v_k), \qquad
    R^\top S = \sum_k \sigma_k u_k v_k^\top$$

    with centred columns and r the number of singular values above 1e-10 of the largest (PLS-SVD).
    Unlike canonical correlation it has no whitening to amplify noise. Undefined where N is no
    larger than D + 1: directions without covariance then seem to have some.

    >>> round(mean_pls_correlation([[0.0], [1.0], [2.0], [4.0]], [[0.0], [1.0], [0.0], [1.0]]), 6)
    0.507093
    """
    check_inputs_suffice(pair.n_inputs, *ranks(pair))
    left, values, right = torch.linalg.svd(rotated_cross_covariance(pair), full_matrices=False)
    kept = slice(_kept(values))
    first = directions(pair.a).variances @ left[:, kept].square()
    second = right[kept].square() @ directions(pair.b).variances
    return (values[kept] / (first * second).sqrt()).clamp(max=1).mean()
