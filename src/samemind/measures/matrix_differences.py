"""Distances between two matrices over the inputs: norms of their difference, and Riemannian."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from samemind.lazy import LazyModule
from samemind.measures import pairwise
from samemind.measures.base import Invariance, Pair, measure

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = LazyModule("torch")

_AT_SCALE = {Invariance.UNIT_PERMUTATION, Invariance.ORTHOGONAL, Invariance.TRANSLATION}
_COST = "O(N²) per pair, after O(N² D) and N² numbers per model"
_LANGE = "Lange et al. (2023), arXiv:2206.10999"


def _nan_unless_both_vary(pair: Pair, score: Tensor) -> Tensor:
    return torch.where((pair.a.norm > 0) & (pair.b.norm > 0), score, torch.nan)


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
)
def rsm_norm_difference(pair: Pair) -> Tensor:
    r"""Frobenius norm of the difference of the matrices of Euclidean distances.

    $$\Big( \sum_{i, j} \big(\|R_i - R_j\| - \|S_i - S_j\|\big)^2 \Big)^{1/2}$$

    In the units of the representation; it grows with N. Other software takes the spectral norm
    or one triangle only.

    >>> rsm_norm_difference([[0.0], [1.0]], [[0.0], [3.0]])
    2.8284271247461903
    """
    squared = pairwise.differences_squared(pair, pair.a.norm, pair.b.norm)
    return _nan_unless_both_vary(pair, squared.sqrt())


@measure(
    reads="representation",
    family="distance matrices",
    bounds=(0.0, inf),
    identical=0.0,
    larger_is_more_similar=False,
    invariances=_AT_SCALE,
    reference="Yin and Shen (2018), On the dimensionality of word embedding",
    cost="O(N D1 D2) per pair, after O(N D²) per model",
)
def gram_norm_difference(pair: Pair) -> Tensor:
    r"""Frobenius norm of the difference of the centred Gram matrices (PIP loss).

    $$\|R R^\top - S S^\top\|_F$$

    with centred columns, in squared units of the representation.

    >>> gram_norm_difference([[0.0], [2.0]], [[0.0], [4.0]])
    6.0
    """
    first, second = pair.a.norm.square(), pair.b.norm.square()
    own = first.square() * pair.a.gram_norm_squared + second.square() * pair.b.gram_norm_squared
    squared = own - 2 * first * second * pair.cross_norm_squared
    # A difference below rounding is none: the root would magnify it.
    return _nan_unless_both_vary(pair, torch.where(squared > 1e-14 * own, squared, 0.0).sqrt())


@measure(
    reads="representation",
    family="distance matrices",
    bounds=(0.0, inf),
    identical=0.0,
    larger_is_more_similar=False,
    invariances=_AT_SCALE,
    reference=_LANGE,
    cost=_COST,
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
    squared = pairwise.differences_squared(pair, pair.a.norm, pair.b.norm)
    return _nan_unless_both_vary(pair, (squared / (n * (n - 1))).sqrt())


@measure(
    reads="representation",
    family="distance matrices",
    bounds=(0.0, inf),
    identical=0.0,
    larger_is_more_similar=False,
    invariances=_AT_SCALE | {Invariance.ISOTROPIC_SCALING},
    reference=_LANGE,
    cost=_COST,
)
def rescaled_stress(pair: Pair) -> Tensor:
    r"""Root mean squared difference of distances in units of each model's median distance.

    `stress` of representations that are scaled so that the median distance between two inputs
    is one.

    >>> rescaled_stress([[0.0], [1.0]], [[0.0], [3.0]])
    0.0
    """
    n = pair.n_inputs
    scales = [1 / pairwise.median_distance(side) for side in (pair.a, pair.b)]
    return (pairwise.differences_squared(pair, *scales) / (n * (n - 1))).sqrt()


@measure(
    reads="representation",
    family="kernel alignment",
    bounds=(0.0, inf),
    identical=0.0,
    larger_is_more_similar=False,
    invariances=_AT_SCALE | {Invariance.ISOTROPIC_SCALING},
    reference="Shahbazi et al. (2021), doi:10.1016/j.neuroimage.2021.118271; " + _LANGE,
    cost="O(N (D1 + D2)² + (D1 + D2)³) per pair, in float64",
)
def affine_invariant_riemannian_distance(pair: Pair, *, ridge: float = 0.1) -> Tensor:
    r"""Affine-invariant Riemannian distance of the regularised Gram matrices; ridge = 0.1.

    $$\Big( \sum_k \ln^2 \lambda_k(A^{-1} B) \Big)^{1/2}, \qquad
    A = \frac{N}{\|R\|_F^2} R R^\top + \epsilon I$$

    with centred columns and B likewise of S, so that the mean of the diagonal is one without the
    ridge ε that makes them invertible. A metric. Outside of the column spaces both matrices are
    ε I, so only min(N, D1 + D2) eigenvalues differ from one.

    >>> affine_invariant_riemannian_distance([[0.0], [2.0]], [[1.0], [-5.0]])
    0.0
    """
    first, second = pair.a.factor.double(), pair.b.factor.double()
    joint = torch.linalg.qr(torch.cat([first, second], dim=1), mode="r").R
    a, b = joint[:, : first.shape[1]], joint[:, first.shape[1] :]
    identity = torch.eye(len(joint), dtype=torch.float64, device=joint.device)
    one, other = (pair.n_inputs * part @ part.T + ridge * identity for part in (a, b))
    # With A = C Cᵀ, the eigenvalues of C⁻¹ B C⁻ᵀ, which is symmetric, are those of A⁻¹ B.
    root = torch.linalg.cholesky(one)
    half = torch.linalg.solve_triangular(root, other, upper=False)
    ratio = torch.linalg.solve_triangular(root, half.T, upper=False)
    logs = torch.linalg.eigvalsh((ratio + ratio.T) / 2).log()
    logs = torch.where(logs.abs() < 1e-12, 0.0, logs)
    return _nan_unless_both_vary(pair, logs.square().sum().sqrt())
