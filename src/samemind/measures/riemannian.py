"""The affine-invariant Riemannian distance of two Gram matrices."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from samemind.lazy import torch
from samemind.measures.base import Invariance, Pair, measure

if TYPE_CHECKING:
    from torch import Tensor

#: Directions with less than this share of the largest variance are rounding.
_NO_VARIANCE = 1e-12


def _logs(one: Tensor, other: Tensor, ridge: float) -> Tensor:
    """The logarithms of the eigenvalues of A⁻¹ B, both with the ridge added."""
    identity = torch.eye(len(one), dtype=torch.float64, device=one.device)
    # With A = C Cᵀ, the eigenvalues of C⁻¹ B C⁻ᵀ, which is symmetric, are those of A⁻¹ B.
    root = torch.linalg.cholesky(one + ridge * identity)
    half = torch.linalg.solve_triangular(root, other + ridge * identity, upper=False)
    ratio = torch.linalg.solve_triangular(root, half.T, upper=False)
    logs = torch.linalg.eigvalsh((ratio + ratio.T) / 2).log()
    return torch.where(logs.abs() < 1e-12, 0.0, logs)


def _influence(pair: Pair, *, ridge: float, rows: slice | Tensor) -> Tensor:
    n, width = pair.n_inputs, pair.a.factor.shape[1]
    joint = torch.cat([pair.a.factor.double(), pair.b.factor.double()], dim=1)
    variances, vectors = torch.linalg.eigh(joint.T @ joint)
    kept = variances > _NO_VARIANCE * variances[-1]
    vectors = vectors[:, kept]
    # In the directions of both sides together, the score is a function of one covariance K: the
    # Gram matrices have the eigenvalues of L.T V Vᵀ L for each side's part of V, with K = L Lᵀ.
    with torch.enable_grad():
        covariance = torch.diag(variances[kept]).requires_grad_()
        root = torch.linalg.cholesky(covariance)
        grams = []
        for part in (vectors[:width], vectors[width:]):
            gram = root.T @ (part.T @ part) @ root
            grams.append(n * gram / gram.diagonal().sum())
        score = _logs(grams[0], grams[1], ridge).square().sum().sqrt()
        (slope,) = torch.autograd.grad(score, covariance)
    if not bool(slope.isfinite().all()):
        # At distance zero the root has no slope, and there is nothing that could vary either.
        return torch.zeros(n, dtype=torch.float64, device=slope.device)[rows]
    slope = (slope + slope.T) / 2
    seen = joint[rows] @ vectors
    total = (slope.diagonal() * variances[kept]).sum()
    return n * torch.linalg.vecdot(seen, seen @ slope) - total


@measure(
    reads="representation",
    family="kernel alignment",
    bounds=(0.0, inf),
    identical=0.0,
    larger_is_more_similar=False,
    invariances={
        Invariance.UNIT_PERMUTATION,
        Invariance.ORTHOGONAL,
        Invariance.ISOTROPIC_SCALING,
        Invariance.TRANSLATION,
    },
    reference="Shahbazi et al. (2021), doi:10.1016/j.neuroimage.2021.118271; "
    "Lange et al. (2023), arXiv:2206.10999",
    cost="O(N (D1 + D2)² + (D1 + D2)³) per pair, in float64",
    influence=_influence,
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
    grams = [pair.n_inputs * part @ part.T for part in (a, b)]
    score = _logs(grams[0], grams[1], ridge).square().sum().sqrt()
    return torch.where((pair.a.norm > 0) & (pair.b.norm > 0), score, torch.nan)
