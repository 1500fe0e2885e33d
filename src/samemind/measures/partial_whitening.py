"""Shape distances after partial whitening, between Procrustes and canonical correlation."""

from __future__ import annotations

from math import pi
from typing import TYPE_CHECKING

from samemind.errors import InvalidInput
from samemind.lazy import torch
from samemind.measures.base import Invariance, Pair, Side, measure
from samemind.sides import moments, preprocessing
from samemind.sides.whitening import directions, rotated_cross_covariance

if TYPE_CHECKING:
    from torch import Tensor


def _stretch(side: Side, alpha: float) -> tuple[Tensor, Tensor]:
    """What each principal direction is multiplied by, `(r,)`, and the norm that results."""
    variances = directions(side).variances
    stretch = alpha + (1 - alpha) / (variances.sqrt() * side.norm)
    return stretch, (variances * stretch.square()).sum().sqrt()


def _influence(pair: Pair, *, alpha: float, rows: slice | Tensor) -> Tensor:
    first_scale, second_scale = ((1 - alpha) / side.norm for side in (pair.a, pair.b))

    def stretched(side: moments.Covariance, scale: Tensor) -> tuple[Tensor, Tensor]:
        identity = torch.eye(len(side.variances), dtype=torch.float64, device=scale.device)
        stretch = alpha * identity + scale * side.inverse_root()
        return stretch, (stretch @ side.matrix * stretch).sum().sqrt()

    def formula(a: moments.Covariance, b: moments.Covariance, cross: Tensor) -> Tensor:
        (first, first_norm), (second, second_norm) = (
            stretched(a, first_scale),
            stretched(b, second_scale),
        )
        nuclear = torch.linalg.svdvals(first @ cross @ second).sum()
        return _angle(nuclear / (first_norm * second_norm))

    return moments.influence(pair, formula, rows)


def _angle(cosine: Tensor) -> Tensor:
    return torch.where(cosine > 1 - 1e-14, 0.0, cosine.clamp(max=1).arccos())


@measure(
    reads="representation",
    family="alignment",
    bounds=(0.0, pi / 2),
    identical=0.0,
    larger_is_more_similar=False,
    invariances={Invariance.UNIT_PERMUTATION, Invariance.ORTHOGONAL, Invariance.TRANSLATION},
    reference="Williams et al. (2021), arXiv:2110.14739, section 2",
    cost="O(N D1 D2 + D³) per pair, after O(N D² + D³) per model, in float64",
    influence=_influence,
    streams=True,
)
def partial_whitening_distance(pair: Pair, *, alpha: float = 0.5) -> Tensor:
    r"""Angle left after partial whitening and the best rotation, a metric; alpha = 0.5.

    $$\min_{Q^\top Q = I} \arccos \frac{\langle R_\alpha Q, S_\alpha \rangle}
    {\|R_\alpha\| \|S_\alpha\|}, \qquad
    R_\alpha = R\,\big(\alpha I + (1 - \alpha)(R^\top R)^{-1/2}\big)$$

    in [0, π/2], with R centred at its own scale, which therefore matters between the ends:
    alpha = 1 is `angular_procrustes_distance`, towards 0 it becomes `angular_cca_distance`.

    **Raises:** `InvalidInput` unless alpha lies in (0, 1].

    >>> round(partial_whitening_distance([[0.0], [1.0], [2.0]], [[1.0], [0.0], [5.0]]), 4)
    0.7137
    """
    if not 0 < alpha <= 1:
        raise InvalidInput(
            f"Partial whitening needs an alpha in (0, 1], but {alpha} was asked for. "
            f"For whitening in full, use 'angular_cca_distance'."
        )
    (first, first_norm), (second, second_norm) = (
        _stretch(side, alpha) for side in (pair.a, pair.b)
    )
    cross = first[:, None] * rotated_cross_covariance(pair) * second
    return _angle(preprocessing.singular_values(cross).sum() / (first_norm * second_norm))
