"""Distance correlation, its square, and the square without its bias."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samemind.errors import UndefinedScore
from samemind.lazy import torch
from samemind.measures.base import Invariance, Pair, Side, measure
from samemind.sides import distances as pairwise

if TYPE_CHECKING:
    from torch import Tensor

_INVARIANCES = {
    Invariance.UNIT_PERMUTATION,
    Invariance.ORTHOGONAL,
    Invariance.ISOTROPIC_SCALING,
    Invariance.TRANSLATION,
}
_COST = "O(N²) per pair, after O(N² D) and N² numbers per model"
_SZEKELY = "Székely, Rizzo and Bakirov (2007), doi:10.1214/009053607000000505"


def _centred(side: Side) -> Tensor:
    return pairwise.double_centred(side, "distances", pairwise.distances)


def _own(side: Side) -> Tensor:
    return side.rows(
        "distance rows", lambda root: pairwise.row_products(_centred(root), _centred(root))
    )


def _cross(pair: Pair) -> Tensor:
    return pair.once(
        "distance products",
        lambda: pairwise.row_products(_centred(pair.a), _centred(pair.b)),
    )


def _shares(pair: Pair) -> Tensor:
    first, second = _own(pair.a).sum(), _own(pair.b).sum()
    return pair.n_inputs * _cross(pair) / (first * second).sqrt()


def _influence_on_square(pair: Pair) -> Tensor:
    # Each part is of second order in the inputs' weights, as in linear CKA.
    shares = _shares(pair)
    first, second = _own(pair.a), _own(pair.b)
    lean = first / first.sum() + second / second.sum()
    return 2 * shares - shares.mean() * pair.n_inputs * lean


def _influence(pair: Pair) -> Tensor:
    root = _shares(pair).mean().clamp_min(0).sqrt()
    return torch.where(root > 0, _influence_on_square(pair) / (2 * root), 0.0)


@measure(
    reads="representation",
    family="distance matrices",
    bounds=(0.0, 1.0),
    identical=1.0,
    invariances=_INVARIANCES,
    reference=_SZEKELY,
    cost=_COST,
    influence=_influence,
)
def distance_correlation(pair: Pair) -> Tensor:
    r"""The distance correlation (dCor) of two representations, in [0, 1].

    With the Euclidean distances A and B between inputs, centred in rows and columns,

    $$\Big( \frac{\langle A, B \rangle}{\|A\|_F \|B\|_F} \Big)^{1/2}$$

    In the limit of many inputs it is 0 only for independence; with few, it is far from 0 for
    independent representations: see the floor, or `debiased_distance_correlation`.

    >>> round(distance_correlation([[0.0], [1.0], [3.0]], [[5.0], [3.0], [-1.0]]), 6)
    1.0
    """
    return _shares(pair).mean().clamp_min(0).sqrt()


@measure(
    reads="representation",
    family="distance matrices",
    bounds=(0.0, 1.0),
    identical=1.0,
    invariances=_INVARIANCES,
    reference=_SZEKELY,
    cost=_COST,
    per_input=_shares,
    influence=_influence_on_square,
)
def distance_correlation_squared(pair: Pair) -> Tensor:
    r"""The square of `distance_correlation`: alignment with distances for kernels, in [0, 1].

    $$\frac{\langle A, B \rangle}{\|A\|_F \|B\|_F}$$

    >>> round(distance_correlation_squared([[0.0], [1.0], [3.0]], [[5.0], [3.0], [-1.0]]), 6)
    1.0
    """
    return _shares(pair).mean().clamp_min(0)


def _row_sums(side: Side) -> Tensor:
    return side.rows("distance sums", lambda root: pairwise.row_sums(pairwise.distances(root)))


def _unbiased(product: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """N (N - 3) times the U-statistic, from ⟨A, B⟩ of the distances and their row sums."""
    n = len(first)
    totals = first.sum() * second.sum() / ((n - 1) * (n - 2))
    return product + totals - 2 * (first @ second) / (n - 2)


def _own_unbiased(side: Side) -> Tensor:
    matrix, sums = pairwise.distances(side), _row_sums(side)
    products = pairwise.row_products(matrix, matrix).sum()
    own = _unbiased(products, sums, sums)
    # What is left of a difference of equals is rounding, and a score by it would be invented.
    return torch.where(own > 1e-12 * products, own, torch.nan)


def _unbiased_rows(pair: Pair) -> Tensor:
    """The sum over j of the product of both U-centred distances from i to j, `(N,)`."""
    n = pair.n_inputs
    matrices = [pairwise.distances(side) for side in (pair.a, pair.b)]
    shifts = [
        sums / (n - 2) - sums.sum() / (2 * (n - 1) * (n - 2))
        for sums in (_row_sums(pair.a), _row_sums(pair.b))
    ]
    found = torch.empty(n, dtype=torch.float64, device=matrices[0].device)
    for these in pairwise.blocks(n):
        first, second = (
            matrix[these].double() - shift[these, None] - shift
            for matrix, shift in zip(matrices, shifts, strict=True)
        )
        products = first * second
        found[these] = products.sum(1) - products.diagonal(these.start)
    return found


def _unbiased_influence(pair: Pair) -> Tensor:
    n, score = pair.n_inputs, debiased_distance_correlation.compute(pair)
    own = [side.whole("unbiased distances", _own_unbiased) for side in (pair.a, pair.b)]
    lean = torch.zeros(n, dtype=torch.float64, device=own[0].device)
    for side, norm in zip((pair.a, pair.b), own, strict=True):
        lean += side.rows("unbiased rows", lambda root: _unbiased_rows(Pair(root, root))) / norm
    cross = _unbiased_rows(pair) / (own[0].sqrt() * own[1].sqrt())
    return n * (2 * cross - score * lean)


@measure(
    reads="representation",
    family="distance matrices",
    bounds=(-1.0, 1.0),
    identical=1.0,
    invariances=_INVARIANCES,
    reference="Székely and Rizzo (2013), doi:10.1016/j.jmva.2013.02.012",
    cost=_COST,
    influence=_unbiased_influence,
)
def debiased_distance_correlation(pair: Pair) -> Tensor:
    r"""The squared distance correlation by U-statistics, in [-1, 1]; 0 for unrelated models.

    $$\frac{\mathrm{dCov}_U(R, S)}{\sqrt{\mathrm{dCov}_U(R, R)\,\mathrm{dCov}_U(S, S)}}$$

    with U-centred distances. It estimates the *squared* distance correlation, and needs N ≥ 4.

    >>> R = [[0.0], [1.0], [3.0], [4.5], [9.0]]
    >>> round(debiased_distance_correlation(R, [[-2 * x] for x, in R]), 6)
    1.0
    """
    if pair.n_inputs < 4:
        raise UndefinedScore(
            f"The unbiased distance covariance needs 4 inputs or more, not {pair.n_inputs}."
        )
    products = pairwise.row_products(pairwise.distances(pair.a), pairwise.distances(pair.b))
    cross = _unbiased(products.sum(), _row_sums(pair.a), _row_sums(pair.b))
    own = [side.whole("unbiased distances", _own_unbiased) for side in (pair.a, pair.b)]
    score = cross / (own[0].sqrt() * own[1].sqrt())
    return torch.where((pair.a.norm > 0) & (pair.b.norm > 0), score, torch.nan)
