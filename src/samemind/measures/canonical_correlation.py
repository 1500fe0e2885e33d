"""The family of canonical correlations: their means, their angle, and SVCCA."""

from __future__ import annotations

from collections.abc import Callable
from math import pi
from typing import TYPE_CHECKING

from samemind.errors import InvalidInput
from samemind.lazy import torch
from samemind.measures.base import Invariance, Pair, measure
from samemind.sides import moments
from samemind.sides.pair import Side
from samemind.sides.whitening import (
    Directions,
    canonical_correlations,
    check_inputs_suffice,
    directions,
    influence_on_correlations,
    ranks,
    subspace_is_settled,
    whitened_cross_covariance,
)

if TYPE_CHECKING:
    from torch import Tensor

_INVARIANCES = {
    Invariance.UNIT_PERMUTATION,
    Invariance.ORTHOGONAL,
    Invariance.ISOTROPIC_SCALING,
    Invariance.INVERTIBLE_LINEAR,
    Invariance.TRANSLATION,
}
_COST = "O(N D1 D2 + D³) per pair, after O(N D² + D³) per model, in float64"


#: A score from the canonical correlations and the ranks of both sides.
_Formula = Callable[["Tensor", int, int], "Tensor"]


def _score(pair: Pair, formula: _Formula) -> Tensor:
    return formula(canonical_correlations(pair), *ranks(pair))


def _influence_on(formula: _Formula) -> Callable[..., Tensor]:
    def influence(pair: Pair, *, rows: slice | Tensor) -> Tensor:
        found = canonical_correlations(pair).flip(0).clone()
        with torch.enable_grad():
            score = formula(found.requires_grad_(), *ranks(pair))
            (slopes,) = torch.autograd.grad(score, found)
        # At angle zero the arc has no slope, and there is nothing that could vary either.
        slopes = torch.where(slopes.isfinite(), slopes, 0.0)
        return influence_on_correlations(pair, slopes, rows)

    return influence


def _mean(correlations: Tensor, *_: int) -> Tensor:
    return correlations.mean()


def _mean_square(correlations: Tensor, *_: int) -> Tensor:
    return correlations.square().mean()


def _angle(correlations: Tensor, first: int, second: int) -> Tensor:
    cosine = correlations.sum() / (first * second) ** 0.5
    return torch.where(cosine > 1 - 1e-14, 0.0, cosine.clamp(max=1).arccos())


def _overlap(correlations: Tensor, first: int, second: int) -> Tensor:
    return correlations.square().sum() / max(first, second)


@measure(
    reads="representation",
    family="canonical correlation",
    bounds=(0.0, 1.0),
    identical=1.0,
    invariances=_INVARIANCES,
    reference="Hotelling (1936), doi:10.1093/biomet/28.3-4.321; Raghu et al. (2017), "
    "arXiv:1706.05806",
    cost=_COST,
    influence=_influence_on(_mean),
    streams=True,
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
    return _score(pair, _mean)


@measure(
    reads="representation",
    family="canonical correlation",
    bounds=(0.0, 1.0),
    identical=1.0,
    invariances=_INVARIANCES,
    reference="Yanai (1974); Kornblith et al. (2019), arXiv:1905.00414",
    cost=_COST,
    influence=_influence_on(_mean_square),
    streams=True,
)
def mean_squared_cca(pair: Pair) -> Tensor:
    r"""The mean squared canonical correlation (R²_CCA, Yanai's GCD), in [0, 1].

    $$\frac1r \sum_{k=1}^{r} \rho_k^2$$

    with r the smaller rank. Undefined where N is no larger than D + 1.

    >>> round(mean_squared_cca([[0.0], [1.0], [2.0], [4.0]], [[0.0], [1.0], [0.0], [1.0]]), 6)
    0.257143
    """
    return _score(pair, _mean_square)


@measure(
    reads="representation",
    family="canonical correlation",
    bounds=(0.0, pi / 2),
    identical=0.0,
    larger_is_more_similar=False,
    invariances=_INVARIANCES,
    reference="Williams et al. (2021), arXiv:2110.14739, with alpha = 0",
    cost=_COST,
    influence=_influence_on(_angle),
    streams=True,
)
def angular_cca_distance(pair: Pair) -> Tensor:
    r"""Angle left after whitening both sides and the best rotation, a metric, in [0, π/2].

    $$\arccos \frac{\sum_k \rho_k}{\sqrt{r_1 r_2}}$$

    with $r_1, r_2$ the ranks of both sides: `partial_whitening_distance` with whitening in full.

    >>> round(angular_cca_distance([[0.0], [1.0], [2.0], [4.0]], [[0.0], [1.0], [0.0], [1.0]]), 4)
    1.039
    """
    return _score(pair, _angle)


@measure(
    reads="representation",
    family="canonical correlation",
    bounds=(0.0, 1.0),
    identical=1.0,
    invariances=_INVARIANCES,
    reference="May et al. (2019), On the downstream performance of compressed word embeddings",
    cost=_COST,
    influence=_influence_on(_overlap),
    streams=True,
)
def eigenspace_overlap(pair: Pair) -> Tensor:
    r"""How far the column spaces of two representations coincide, in [0, 1].

    $$\frac{\|U_R^\top U_S\|_F^2}{\max(r_1, r_2)} = \frac{\sum_k \rho_k^2}{\max(r_1, r_2)}$$

    with orthonormal bases $U_R, U_S$ of the centred columns, whose ranks are $r_1, r_2$. May et
    al. do not centre. Undefined where N is no larger than D + 1.

    >>> round(eigenspace_overlap([[0.0], [1.0], [2.0], [4.0]], [[0.0], [1.0], [0.0], [1.0]]), 6)
    0.257143
    """
    return _score(pair, _overlap)


def _leading(side: Side, variance: float) -> Directions:
    found = directions(side)
    # The total is one; counting from below keeps the digits of what is left out.
    left_out = found.variances.flip(0).cumsum(0).flip(0)
    return found.first(int((left_out > 1 - variance).sum()))


def _svcca_influence(pair: Pair, *, variance: float, rows: slice | Tensor) -> Tensor:
    # The subspaces turn with the data; the number of directions kept is held fixed.
    first, second = (len(_leading(side, variance).variances) for side in (pair.a, pair.b))

    def formula(a: moments.Covariance, b: moments.Covariance, cross: Tensor) -> Tensor:
        kept = a.inverse_root(first) @ cross @ b.inverse_root(second)
        return torch.linalg.svdvals(kept)[: min(first, second)].mean()

    return moments.influence(pair, formula, rows)


def _svcca_unsettled(pair: Pair, *, variance: float) -> str | None:
    for side in (pair.a, pair.b):
        if not subspace_is_settled(side, len(_leading(side, variance).variances), variance):
            return (
                f"{side.n_inputs} inputs do not settle which principal directions hold the share "
                f"of the variance, so their number and their plane jump"
            )
    return None


@measure(
    reads="representation",
    family="canonical correlation",
    bounds=(0.0, 1.0),
    identical=1.0,
    invariances=_INVARIANCES - {Invariance.INVERTIBLE_LINEAR},
    reference="Raghu et al. (2017), arXiv:1706.05806",
    cost=_COST,
    influence=_svcca_influence,
    unsettled=_svcca_unsettled,
    streams=True,
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
