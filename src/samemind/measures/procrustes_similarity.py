"""Orthogonal Procrustes: what is left after the best rotation, in the paper's two readings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import nan, sqrt
from typing import TYPE_CHECKING

from samemind.lazy import torch
from samemind.measures.base import Floor, Invariance, Pair, measure
from samemind.measures.shuffling import nuclear_floor

if TYPE_CHECKING:
    from torch import Tensor

_REFERENCE = "Ding et al. (2021), arXiv:2108.01661; Williams et al. (2021), arXiv:2110.14739"
_COST = "O(N D1 D2 + D1 D2 min(D1, D2)) per pair"
_INVARIANCES = {
    Invariance.UNIT_PERMUTATION,
    Invariance.ORTHOGONAL,
    Invariance.ISOTROPIC_SCALING,
    Invariance.TRANSLATION,
}


def _nuclear_norm(pair: Pair) -> Tensor:
    # A constant side has a cross-covariance of zeros, which would pass for "nothing in common".
    is_defined = (pair.a.norm > 0) & (pair.b.norm > 0)
    return torch.where(is_defined, pair.nuclear_norm, nan)


def _shares(pair: Pair) -> Tensor:
    return pair.n_inputs * pair.aligned_rows


def _influence(pair: Pair, *, rows: slice | Tensor) -> Tensor:
    # The covariance moves by the input's share, the scale by half of its squared norm on each
    # side; the best rotation stays best to first order.
    scale = (pair.a.unit_row_squares[rows] + pair.b.unit_row_squares[rows]) / 2
    return pair.n_inputs * (pair.aligned_at(rows) - pair.nuclear_norm * scale)


def floor_of(function: Callable[[Pair, float], float]) -> Callable[[Pair], Floor | None]:
    """The floor of a monotone function of the nuclear norm, which hardly varies with shuffling."""

    def floor(pair: Pair) -> Floor | None:
        found = nuclear_floor(pair)
        if found is None:
            return None
        mean, p95 = (function(pair, min(value, 1.0)) for value in (found.mean, found.p95))
        return replace(found, mean=mean, p95=p95, deviation=nan)

    return floor


def _influence_on_root(pair: Pair, *, rows: slice | Tensor) -> Tensor:
    distance = (2 - 2 * pair.nuclear_norm).clamp_min(0).sqrt()
    # At distance zero the root has no slope, and there is nothing that could vary either.
    slope = torch.where(distance > 1e-7, 1 / (2 * distance), 0.0)
    return slope * _influence(pair, rows=rows)


@measure(
    reads="representation",
    family="alignment",
    bounds=(0.0, 1.0),
    identical=1.0,
    invariances=_INVARIANCES,
    reference=_REFERENCE,
    cost=_COST,
    per_input=_shares,
    influence=_influence,
    floor=nuclear_floor,
    sees="what is left after the best rotation, small directions too",
    cannot_see="chance: it is high where units are many and inputs few, so read it beside its "
    "floor",
    label="ProcrustesSim",
    usual=5,
    streams=True,
)
def procrustes_similarity(pair: Pair) -> Tensor:
    r"""Similarity left after the best rotation of one representation onto the other, in [0, 1].

    With centred columns and unit Frobenius norm, the squared Procrustes distance is

    $$d^2(R, S) = \min_{Q^\top Q = I} \|RQ - S\|_F^2 = 2 - 2\,\|R^\top S\|_*$$

    and this is $1 - d^2/2 = \|R^\top S\|_*$, the nuclear norm of the cross-covariance: what the
    paper's figures show. Representations of different widths need no padding. Equation 5 as
    printed, with its root, is `procrustes_similarity_root`.

    >>> R = [[0.0, 1.0], [1.0, 0.0], [2.0, 5.0]]
    >>> procrustes_similarity(R, [[7 - 3 * y, 7 + 3 * x] for x, y in R])
    1.0
    """
    return _nuclear_norm(pair)


@measure(
    reads="representation",
    family="alignment",
    bounds=(1 - sqrt(0.5), 1.0),
    identical=1.0,
    invariances=_INVARIANCES,
    reference=_REFERENCE,
    cost=_COST,
    influence=_influence_on_root,
    floor=floor_of(lambda _, similarity: 1 - sqrt((1 - similarity) / 2)),
    label="ProcrustesSim (root)",
    streams=True,
)
def procrustes_similarity_root(pair: Pair) -> Tensor:
    r"""Equation 5 of the paper as printed: (2 - d) / 2 with the Procrustes distance d itself.

    $$1 - \tfrac12 \sqrt{2 - 2\,\|R^\top S\|_*}$$

    Its range is [1 - √½, 1] ≈ [0.293, 1], not [0, 1]; `procrustes_similarity` is the one of the
    figures, which takes the square of the distance.

    >>> round(procrustes_similarity_root([[1.0, 0.0], [0.0, 1.0]], [[1.0], [0.0]]), 6)
    1.0
    """
    return 1 - ((1 - _nuclear_norm(pair)).clamp_min(0) / 2).sqrt()
