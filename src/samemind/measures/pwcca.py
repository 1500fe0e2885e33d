"""Projection-weighted canonical correlation, by its published formula."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samemind.lazy import torch
from samemind.measures.base import Invariance, Pair, measure
from samemind.sides import moments
from samemind.sides.whitening import (
    check_inputs_suffice,
    correlations_are_apart,
    directions,
    ranks,
    whitened_cross_covariance,
)

if TYPE_CHECKING:
    from torch import Tensor


def _weighted(left: Tensor, correlations: Tensor, own: Tensor) -> Tensor:
    """The mean correlation, weighted by `own` `(r, D)`, the units in an orthonormal basis."""
    weights = (left.T @ own).abs().sum(1)
    return (weights * correlations).sum() / weights.sum()


#: Squared correlations nearer than this to each other, or to none, have no directions of their own.
_REPEATED = 1e-9


def _influence(pair: Pair, *, rows: slice | Tensor) -> Tensor | None:
    whitened = whitened_cross_covariance(pair)
    squares = torch.linalg.svdvals(whitened).square()
    if bool((squares > 1 - _REPEATED).all()):
        # The largest score there is: it can only fall, and to first order does not.
        return torch.zeros(pair.n_inputs, dtype=squares.dtype, device=squares.device)[rows]
    if whitened.shape[0] > len(squares):
        squares = torch.cat([squares, squares.new_zeros(1)])
    if bool((squares[:-1] - squares[1:] < _REPEATED).any()):
        return None
    units = directions(pair.a).vectors.T

    def formula(a: moments.Covariance, b: moments.Covariance, cross: Tensor) -> Tensor:
        whitened = a.inverse_root() @ cross @ b.inverse_root()
        left, correlations, _ = torch.linalg.svd(whitened, full_matrices=False)
        return _weighted(left, correlations, a.root() @ units)

    return moments.influence(pair, formula, rows)


def _unsettled(pair: Pair) -> str | None:
    whitened = whitened_cross_covariance(pair)
    correlations = torch.linalg.svdvals(whitened)
    if bool((correlations.square() > 1 - _REPEATED).all()):
        return None
    of_all = whitened.shape[0] <= len(correlations)
    if correlations_are_apart(correlations, pair.n_inputs, of_all=of_all):
        return None
    return (
        f"canonical correlations lie closer together than {pair.n_inputs} inputs can tell, so the "
        f"directions that weigh them turn by jumps"
    )


@measure(
    reads="representation",
    family="canonical correlation",
    bounds=(0.0, 1.0),
    identical=1.0,
    is_symmetric=False,
    invariances={
        Invariance.UNIT_PERMUTATION,
        Invariance.ISOTROPIC_SCALING,
        Invariance.TRANSLATION,
    },
    reference="Morcos, Raghu and Bengio (2018), arXiv:1806.05759",
    cost="O(N D1 D2 + D³) per pair, after O(N D² + D³) per model, in float64",
    influence=_influence,
    unsettled=_unsettled,
    streams=True,
)
def pwcca(pair: Pair) -> Tensor:
    r"""Canonical correlations weighted by how much of the first model they account for.

    $$\frac{\sum_k \alpha_k \rho_k}{\sum_k \alpha_k}, \qquad
    \alpha_k = \sum_j |\langle h_k, R_{\cdot j} \rangle|$$

    in [0, 1], with $h_k$ the orthonormal canonical variables of the first representation, which
    the weights single out, and columns centred. Packages differ in centring, in whether the
    variables are orthonormal, and in which side weighs. Undefined where N is no larger than D + 1.

    >>> round(pwcca([[0.0], [1.0], [2.0], [4.0]], [[0.0], [1.0], [0.0], [1.0]]), 6)
    0.507093
    """
    check_inputs_suffice(pair.n_inputs, *ranks(pair))
    left, correlations, _ = torch.linalg.svd(whitened_cross_covariance(pair), full_matrices=False)
    # The basis U = F V / √v of the first side has inner products √v Vᵀ with its own units.
    found = directions(pair.a)
    own = found.variances.sqrt()[:, None] * found.vectors.T
    return _weighted(left, correlations.clamp(0, 1), own)
