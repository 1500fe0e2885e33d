"""The family of canonical correlations: their means, their angle, and SVCCA."""

from __future__ import annotations

from math import pi
from typing import TYPE_CHECKING

from samemind.errors import InvalidInput
from samemind.lazy import LazyModule
from samemind.measures.base import Invariance, Pair, measure
from samemind.measures.prepared import Side
from samemind.measures.whitening import (
    Directions,
    canonical_correlations,
    check_inputs_suffice,
    directions,
    ranks,
    whitened_cross_covariance,
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
    Invariance.INVERTIBLE_LINEAR,
    Invariance.TRANSLATION,
}
_COST = "O(N D1 D2 + D³) per pair, after O(N D² + D³) per model, in float64"


@measure(
    reads="representation",
    family="canonical correlation",
    bounds=(0.0, 1.0),
    identical=1.0,
    invariances=_INVARIANCES,
    reference="Hotelling (1936), doi:10.1093/biomet/28.3-4.321; Raghu et al. (2017), "
    "arXiv:1706.05806",
    cost=_COST,
)
def mean_cca(pair: Pair) -> Tensor:
    r"""The mean canonical correlation of two representations, in [0, 1].

    $$\frac1r \sum_{k=1}^{r} \rho_k$$

    with $\rho_k$ the singular values of $U_R^\top U_S$, orthonormal bases of the centred columns,
    and r the smaller rank. Directions with less than 1e-10 of a model's largest variance count as
    rounding. Undefined where N is no larger than D + 1: all correlations are 1 then.

    >>> round(mean_cca([[0.0], [1.0], [2.0], [4.0]], [[0.0], [1.0], [0.0], [1.0]]), 6)
    0.507093
    """
    return canonical_correlations(pair).mean()


@measure(
    reads="representation",
    family="canonical correlation",
    bounds=(0.0, 1.0),
    identical=1.0,
    invariances=_INVARIANCES,
    reference="Yanai (1974); Kornblith et al. (2019), arXiv:1905.00414",
    cost=_COST,
)
def mean_squared_cca(pair: Pair) -> Tensor:
    r"""The mean squared canonical correlation (R²_CCA, Yanai's GCD), in [0, 1].

    $$\frac1r \sum_{k=1}^{r} \rho_k^2$$

    with r the smaller rank. Undefined where N is no larger than D + 1.

    >>> round(mean_squared_cca([[0.0], [1.0], [2.0], [4.0]], [[0.0], [1.0], [0.0], [1.0]]), 6)
    0.257143
    """
    return canonical_correlations(pair).square().mean()


@measure(
    reads="representation",
    family="canonical correlation",
    bounds=(0.0, pi / 2),
    identical=0.0,
    larger_is_more_similar=False,
    invariances=_INVARIANCES,
    reference="Williams et al. (2021), arXiv:2110.14739, with alpha = 0",
    cost=_COST,
)
def angular_cca_distance(pair: Pair) -> Tensor:
    r"""Angle left after whitening both sides and the best rotation, a metric, in [0, π/2].

    $$\arccos \frac{\sum_k \rho_k}{\sqrt{r_1 r_2}}$$

    with $r_1, r_2$ the ranks of both sides: `partial_whitening_distance` with whitening in full.

    >>> round(angular_cca_distance([[0.0], [1.0], [2.0], [4.0]], [[0.0], [1.0], [0.0], [1.0]]), 4)
    1.039
    """
    correlations = canonical_correlations(pair)
    first, second = ranks(pair)
    cosine = correlations.sum() / (first * second) ** 0.5
    return torch.where(cosine > 1 - 1e-14, 0.0, cosine.clamp(max=1).arccos())


@measure(
    reads="representation",
    family="canonical correlation",
    bounds=(0.0, 1.0),
    identical=1.0,
    invariances=_INVARIANCES,
    reference="May et al. (2019), On the downstream performance of compressed word embeddings",
    cost=_COST,
)
def eigenspace_overlap(pair: Pair) -> Tensor:
    r"""How far the column spaces of two representations coincide, in [0, 1].

    $$\frac{\|U_R^\top U_S\|_F^2}{\max(r_1, r_2)} = \frac{\sum_k \rho_k^2}{\max(r_1, r_2)}$$

    with orthonormal bases $U_R, U_S$ of the centred columns, whose ranks are $r_1, r_2$. May et
    al. do not centre. Undefined where N is no larger than D + 1.

    >>> round(eigenspace_overlap([[0.0], [1.0], [2.0], [4.0]], [[0.0], [1.0], [0.0], [1.0]]), 6)
    0.257143
    """
    return canonical_correlations(pair).square().sum() / max(ranks(pair))


def _leading(side: Side, variance: float) -> Directions:
    found = directions(side)
    # The total is one; counting from below keeps the digits of what is left out.
    left_out = found.variances.flip(0).cumsum(0).flip(0)
    return found.first(int((left_out > 1 - variance).sum()))


@measure(
    reads="representation",
    family="canonical correlation",
    bounds=(0.0, 1.0),
    identical=1.0,
    invariances=_INVARIANCES - {Invariance.INVERTIBLE_LINEAR},
    reference="Raghu et al. (2017), arXiv:1706.05806",
    cost=_COST,
)
def svcca(pair: Pair, *, variance: float = 0.99) -> Tensor:
    r"""Mean canonical correlation of the directions that hold 99 % of the variance, in [0, 1].

    Each side keeps the fewest principal components with at least this share of its *variance*
    (squared singular values); the score is the mean canonical correlation of what is kept, over
    the smaller number. Other software takes 99 % of the summed singular values, or a fixed
    number of components, and differs. `svcca@0.9` keeps 90 %.

    **Raises:** `InvalidInput` unless the share lies in (0, 1].

    >>> R = [[0.0, 0.0], [1.0, 0.01], [2.0, 0.0], [4.0, 0.0]]
    >>> round(svcca(R, [[0.0], [1.0], [0.0], [1.0]]), 6)
    0.507091
    """
    if not 0 < variance <= 1:
        raise InvalidInput(
            f"svcca keeps a share of the variance in (0, 1], but {variance} was asked for. "
            f"Write 99 % as 'svcca@0.99'."
        )
    first, second = (len(_leading(side, variance).variances) for side in (pair.a, pair.b))
    check_inputs_suffice(pair.n_inputs, first, second)
    kept = whitened_cross_covariance(pair)[:first, :second]
    return torch.linalg.svdvals(kept).clamp(0, 1).mean()
