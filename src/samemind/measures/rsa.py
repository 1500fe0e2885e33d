"""Representational similarity analysis: correlating dissimilarities between inputs.

The dissimilarity within a model and the correlation between models are both in the name. Only
Euclidean distances do not depend on an offset of the units; correlation and cosine are taken on
the rows as given, as in the field, and not on centred columns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from samemind.errors import UndefinedScore
from samemind.lazy import torch
from samemind.measures.base import Invariance, Pair, Side, measure
from samemind.sides import distances as pairwise

if TYPE_CHECKING:
    from torch import Tensor

_KRIEGESKORTE = "Kriegeskorte, Mur and Bandettini (2008), doi:10.3389/neuro.06.004.2008"
_BY_VALUE = "O(N²) per pair, after O(N² D) and N² numbers per model"
_BY_RANK = "O(N²) per pair, after O(N² (D + log N)) and N² numbers per model"
_OF_EUCLIDEAN = {
    Invariance.UNIT_PERMUTATION,
    Invariance.ORTHOGONAL,
    Invariance.ISOTROPIC_SCALING,
    Invariance.TRANSLATION,
}
_OF_CORRELATION = {Invariance.UNIT_PERMUTATION, Invariance.ISOTROPIC_SCALING}
_OF_COSINE = {Invariance.UNIT_PERMUTATION, Invariance.ORTHOGONAL, Invariance.ISOTROPIC_SCALING}


def _angular(side: Side, *, is_centred: bool) -> Tensor:
    """One minus the cosine of the rows, or of the rows less their own mean, `(N, N)`."""
    rows = side.representation.double()
    if is_centred:
        # Differences from the first unit lose no digits to a common offset of a row.
        rows = rows - rows[:, :1]
        rows = rows - rows.mean(1, keepdim=True)
    lengths = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    if bool((lengths == 0).any()):
        kind, what = ("correlation", "the same in all units") if is_centred else ("cosine", "zero")
        raise UndefinedScore(
            f"Input {int((lengths == 0).int().argmax())} has a representation that is {what}, so "
            f"its {kind} with another is undefined. Use rsa_euclidean_pearson or "
            f"rsa_euclidean_spearman, or look for dead units."
        )
    rows = rows / lengths
    found = pairwise.empty_square(len(rows), rows.device)
    for these in pairwise.blocks(len(rows)):
        found[these] = 1 - rows[these] @ rows.T
    return found.fill_diagonal_(0)


_DISSIMILARITIES: dict[str, Callable[[Side], Tensor]] = {
    "euclidean": pairwise.distances,
    "correlation": lambda side: _angular(side, is_centred=True),
    "cosine": lambda side: _angular(side, is_centred=False),
}


def _dissimilarities(side: Side, kind: str) -> Tensor:
    return side.square(f"dissimilarity {kind}", _DISSIMILARITIES[kind])


def _upper(n: int, device: torch.device) -> Tensor:
    return torch.ones(n, n, dtype=torch.bool, device=device).triu_(1)


#: Dissimilarities closer than this share of the largest are equal: no rounding may rank them.
_EQUAL = 1e-12


def average_ranks(values: Tensor, *, equal: float = 0.0) -> Tensor:
    """The ranks from 1, in float64; values no further apart than `equal` share the mean of theirs.

    **Arguments:** values `(P,)`.
    """
    ascending, order = values.sort()
    is_next = torch.ones_like(ascending, dtype=torch.bool)
    is_next[1:] = ascending[1:] - ascending[:-1] > equal
    counts = torch.bincount(is_next.cumsum(0) - 1)
    last = counts.cumsum(0).double()
    shared = (last - (counts.double() - 1) / 2).repeat_interleave(counts)
    return torch.empty_like(shared).scatter_(0, order, shared)


def _ranked(side: Side, kind: str) -> Tensor:
    """The rank of each dissimilarity among all pairs of inputs, `(N, N)`, symmetric."""

    def make(root: Side) -> Tensor:
        matrix = _dissimilarities(root, kind)
        above = _upper(root.n_inputs, matrix.device)
        found = torch.zeros_like(matrix)
        values = matrix[above]
        equal = _EQUAL * float(values.max()) if len(values) else 0.0
        found[above] = average_ranks(values, equal=equal).to(found.dtype)
        return found + found.T

    return side.square(f"ranks {kind}", make)


def _standardised(side: Side, kind: str, *, by_rank: bool) -> Tensor:
    """The dissimilarities with mean zero off the diagonal, which is zero as well."""

    def make(root: Side) -> Tensor:
        matrix = (_ranked if by_rank else _dissimilarities)(root, kind)
        n = root.n_inputs
        mean = pairwise.row_sums(matrix).sum() / max(n * (n - 1), 1)
        return pairwise.mapped(matrix, lambda values: values - mean).fill_diagonal_(0)

    return side.square(f"standardised {kind} {by_rank}", make)


def _squared_norm(side: Side, kind: str, *, by_rank: bool) -> Tensor:
    def make(root: Side) -> Tensor:
        matrix = _standardised(root, kind, by_rank=by_rank)
        return pairwise.row_products(matrix, matrix).sum()

    return side.whole(f"squared norm {kind} {by_rank}", make)


def _correlation(pair: Pair, kind: str, *, by_rank: bool) -> Tensor:
    first, second = (_standardised(side, kind, by_rank=by_rank) for side in (pair.a, pair.b))
    norms = [_squared_norm(side, kind, by_rank=by_rank) for side in (pair.a, pair.b)]
    score = pairwise.row_products(first, second).sum() / (norms[0] * norms[1]).sqrt()
    # What is the same for all pairs of inputs, up to rounding, correlates with nothing.
    varies = (pair.a.norm > 0) & (pair.b.norm > 0)
    return torch.where(varies, score.clamp(-1, 1), torch.nan)


def _row_shares(pair: Pair, kind: str, *, by_rank: bool) -> Tensor:
    """Per input, what its pairs with others add to the correlation's move, `(N,)`; mean zero."""
    first, second = (_standardised(side, kind, by_rank=by_rank) for side in (pair.a, pair.b))
    norms = [_squared_norm(side, kind, by_rank=by_rank) for side in (pair.a, pair.b)]
    products = pairwise.row_products(first, second) / (norms[0] * norms[1]).sqrt()
    own = [
        side.rows(
            f"squared rows {kind} {by_rank}",
            lambda root: pairwise.row_products(
                _standardised(root, kind, by_rank=by_rank),
                _standardised(root, kind, by_rank=by_rank),
            ),
        )
        for side in (pair.a, pair.b)
    ]
    lean = own[0] / norms[0] + own[1] / norms[1]
    return pair.n_inputs * (products - products.sum() * lean / 2)


def _influence_by_value(kind: str) -> Callable[[Pair], Tensor]:
    # Every input takes part in the pairs of its row and of its column: twice the share.
    return lambda pair: 2 * _row_shares(pair, kind, by_rank=False)


def _influence_by_rank(kind: str) -> Callable[[Pair], Tensor]:
    def influence(pair: Pair) -> Tensor:
        first, second = (_standardised(side, kind, by_rank=True) for side in (pair.a, pair.b))
        norms = [_squared_norm(side, kind, by_rank=True) for side in (pair.a, pair.b)]
        moved = pairwise.row_products(first, second)
        # More weight on a distance also raises the rank of every distance above it.
        for ranks, others in ((first, second), (second, first)):
            moved += pairwise.row_sums(_sum_above(ranks, others))
        moved = moved / (norms[0] * norms[1]).sqrt()
        return 2 * pair.n_inputs * (moved - moved.mean())

    return influence


def _sum_above(ranks: Tensor, values: Tensor) -> Tensor:
    """For each pair of inputs, the sum of values where the rank is higher, per pair, `(N, N)`.

    Of equal ranks, half of the sum counts.
    """
    n = len(ranks)
    above = _upper(n, ranks.device)
    order = ranks[above].argsort(stable=True)
    ascending = ranks[above][order]
    ordered = values[above][order].double()
    reached = ordered.cumsum(0)
    _, group, counts = torch.unique_consecutive(ascending, return_inverse=True, return_counts=True)
    last = counts.cumsum(0) - 1
    before = torch.nn.functional.pad(reached[last], (1, 0))[:-1]
    beyond = reached[-1] - (before + reached[last]) / 2
    found = torch.zeros_like(ranks)
    found[above] = torch.empty_like(ordered).scatter_(0, order, beyond[group]).to(ranks.dtype)
    return found + found.T


@measure(
    reads="representation",
    family="distance matrices",
    bounds=(-1.0, 1.0),
    identical=1.0,
    invariances=_OF_EUCLIDEAN,
    reference=_KRIEGESKORTE,
    cost=_BY_VALUE,
    influence=_influence_by_value("euclidean"),
)
def rsa_euclidean_pearson(pair: Pair) -> Tensor:
    r"""Pearson correlation of the Euclidean distances between inputs, in [-1, 1].

    Over all pairs i < j, the correlation of $\|R_i - R_j\|$ with $\|S_i - S_j\|$.

    >>> round(rsa_euclidean_pearson([[0.0], [1.0], [3.0]], [[5.0], [3.0], [-1.0]]), 6)
    1.0
    """
    return _correlation(pair, "euclidean", by_rank=False)


@measure(
    reads="representation",
    family="distance matrices",
    bounds=(-1.0, 1.0),
    identical=1.0,
    invariances=_OF_EUCLIDEAN,
    reference=_KRIEGESKORTE,
    cost=_BY_RANK,
    influence=_influence_by_rank("euclidean"),
)
def rsa_euclidean_spearman(pair: Pair) -> Tensor:
    r"""Spearman correlation of the Euclidean distances between inputs, in [-1, 1].

    Over all pairs i < j, the correlation of the ranks of $\|R_i - R_j\|$ and $\|S_i - S_j\|$;
    equal distances share the mean of their ranks.

    >>> round(rsa_euclidean_spearman([[0.0], [1.0], [3.0]], [[5.0], [3.0], [-1.0]]), 6)
    1.0
    """
    return _correlation(pair, "euclidean", by_rank=True)


@measure(
    reads="representation",
    family="distance matrices",
    bounds=(-1.0, 1.0),
    identical=1.0,
    invariances=_OF_CORRELATION,
    reference=_KRIEGESKORTE,
    cost=_BY_VALUE,
    influence=_influence_by_value("correlation"),
)
def rsa_correlation_pearson(pair: Pair) -> Tensor:
    r"""Pearson correlation of the inputs' correlation distances, in [-1, 1].

    The dissimilarity of two inputs is $1 - \operatorname{corr}(R_i, R_j)$, over the units of the
    representation as given. A rotation of the units changes it.

    >>> R = [[0.0, 1.0, 5.0], [1.0, 0.0, 2.0], [2.0, 5.0, 3.0]]
    >>> round(rsa_correlation_pearson(R, [[2 * x + 1 for x in row] for row in R]), 6)
    1.0
    """
    return _correlation(pair, "correlation", by_rank=False)


@measure(
    reads="representation",
    family="distance matrices",
    bounds=(-1.0, 1.0),
    identical=1.0,
    invariances=_OF_CORRELATION,
    reference=_KRIEGESKORTE,
    cost=_BY_RANK,
    influence=_influence_by_rank("correlation"),
)
def rsa_correlation_spearman(pair: Pair) -> Tensor:
    r"""Spearman correlation of the inputs' correlation distances, in [-1, 1].

    As `rsa_correlation_pearson`, of the ranks: the classical form of the analysis.

    >>> R = [[0.0, 1.0, 5.0], [1.0, 0.0, 2.0], [2.0, 5.0, 3.0]]
    >>> round(rsa_correlation_spearman(R, [[2 * x + 1 for x in row] for row in R]), 6)
    1.0
    """
    return _correlation(pair, "correlation", by_rank=True)


@measure(
    reads="representation",
    family="distance matrices",
    bounds=(-1.0, 1.0),
    identical=1.0,
    invariances=_OF_COSINE,
    reference=_KRIEGESKORTE,
    cost=_BY_VALUE,
    influence=_influence_by_value("cosine"),
)
def rsa_cosine_pearson(pair: Pair) -> Tensor:
    r"""Pearson correlation of the inputs' cosine distances, in [-1, 1].

    The dissimilarity of two inputs is $1 - \cos(R_i, R_j)$, of the representation as given.

    >>> R = [[0.0, 1.0], [1.0, 0.0], [2.0, 5.0]]
    >>> round(rsa_cosine_pearson(R, [[-3 * y, 3 * x] for x, y in R]), 6)
    1.0
    """
    return _correlation(pair, "cosine", by_rank=False)


@measure(
    reads="representation",
    family="distance matrices",
    bounds=(-1.0, 1.0),
    identical=1.0,
    invariances=_OF_COSINE,
    reference=_KRIEGESKORTE,
    cost=_BY_RANK,
    influence=_influence_by_rank("cosine"),
)
def rsa_cosine_spearman(pair: Pair) -> Tensor:
    r"""Spearman correlation of the inputs' cosine distances, in [-1, 1].

    As `rsa_cosine_pearson`, of the ranks.

    >>> R = [[0.0, 1.0], [1.0, 0.0], [2.0, 5.0]]
    >>> round(rsa_cosine_spearman(R, [[-3 * y, 3 * x] for x, y in R]), 6)
    1.0
    """
    return _correlation(pair, "cosine", by_rank=True)
