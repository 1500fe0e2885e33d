"""Alignment of single units: the best permutation, and matches by correlation."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, pi
from typing import TYPE_CHECKING

from samemind.errors import UndefinedScore
from samemind.lazy import torch
from samemind.measures.base import Invariance, Pair, Side, measure
from samemind.measures.procrustes_distances import influence_on_size_and_shape, size_and_shape

if TYPE_CHECKING:
    from torch import Tensor

_INVARIANCES = {
    Invariance.UNIT_PERMUTATION,
    Invariance.ISOTROPIC_SCALING,
    Invariance.TRANSLATION,
}
_WILLIAMS = "Williams et al. (2021), arXiv:2110.14739"
_LI = "Li et al. (2015), Convergent learning, arXiv:1511.07543"
_ASSIGNMENT = "O(N D1 D2 + D³) per pair, the assignment on one CPU core"
#: What a sum of products of unit columns may fall short of one by rounding alone.
_ROUNDING = 2e-14


def unit_products(pair: Pair) -> Tensor:
    """The inner product of each unit of the one with each of the other, `(D1, D2)`, float64."""

    def make() -> Tensor:
        # Where N < D the pair's cross-covariance is of rotated units.
        if max(pair.a.n_units, pair.b.n_units) <= pair.n_inputs:
            return pair.cross_covariance.double()
        return pair.a.unit.double().T @ pair.b.unit.double()

    return pair.once("unit products", make)


def best_assignment(gains: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and columns of the one-to-one match with the largest sum, `(min(D1, D2),)` each."""
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(gains.cpu().numpy(), maximize=True)
    device = gains.device
    return torch.from_numpy(rows).to(device), torch.from_numpy(columns).to(device)


def _best_sum(pair: Pair) -> Tensor:
    """The largest inner product of one side with the permuted other, `()`; NaN if undefined."""

    def make() -> Tensor:
        if float(pair.a.norm) == 0 or float(pair.b.norm) == 0:
            return torch.tensor(torch.nan, dtype=torch.float64)
        return unit_products(pair)[_best_match(pair)].sum()

    return pair.once("best permutation", make)


def _best_match(pair: Pair) -> tuple[Tensor, Tensor]:
    return pair.once("best match", lambda: best_assignment(unit_products(pair)))


def _matched_rows(pair: Pair, rows: slice | Tensor) -> Tensor:
    """Row i of the one side times row i of the other with its units matched, `(rows,)`."""
    first, second = _best_match(pair)

    def make(some: slice | Tensor) -> Tensor:
        x, y = pair.a.unit_rows(some)[:, first], pair.b.unit_rows(some)[:, second]
        return torch.linalg.vecdot(x.double(), y.double())

    return pair.by_pieces(make, rows)


def _influence(pair: Pair, *, rows: slice | Tensor) -> Tensor:
    # The best match stays best for a small enough change of the weights.
    scale = (pair.a.unit_row_squares[rows] + pair.b.unit_row_squares[rows]) / 2
    return pair.n_inputs * (_matched_rows(pair, rows) - _best_sum(pair) * scale)


def _influence_through(slope: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """The influence on a function of the largest product, with its slope given the shortfall."""

    def influence(pair: Pair, *, rows: slice | Tensor) -> Tensor:
        shortfall = _shortfall(pair)
        # At distance zero a root has no slope, and there is nothing that could vary either.
        there = torch.where(shortfall > 1e-14, slope(shortfall), 0.0)
        return there * _influence(pair, rows=rows)

    return influence


def _shortfall(pair: Pair) -> Tensor:
    left = 1 - _best_sum(pair)
    return torch.where(left < _ROUNDING, 0.0, left)


@measure(
    reads="representation",
    family="alignment",
    bounds=(0.0, 2.0),
    identical=0.0,
    larger_is_more_similar=False,
    invariances=_INVARIANCES,
    reference=_WILLIAMS,
    cost=_ASSIGNMENT,
    influence=_influence_through(lambda shortfall: -1 / (2 * shortfall).sqrt()),
    streams=True,
)
def permutation_procrustes_distance(pair: Pair) -> Tensor:
    r"""Distance left after the best permutation of units, centred and at norm one, in [0, 2].

    $$\min_{P} \|RP - S\|_F = \sqrt{2 - 2 \max_P \operatorname{tr}(P^\top R^\top S)}$$

    over permutations of the units; the narrower side gets units that are always zero, so that
    some units of the wider one stay alone. A metric.

    >>> permutation_procrustes_distance([[0.0, 1.0], [1.0, 5.0]], [[1.0, 0.0], [5.0, 1.0]])
    0.0
    """
    return (2 * _shortfall(pair)).sqrt()


@measure(
    reads="representation",
    family="alignment",
    bounds=(0.0, pi),
    identical=0.0,
    larger_is_more_similar=False,
    invariances=_INVARIANCES,
    reference=_WILLIAMS,
    cost=_ASSIGNMENT,
    influence=_influence_through(lambda shortfall: -1 / (shortfall * (2 - shortfall)).sqrt()),
    streams=True,
)
def angular_permutation_procrustes_distance(pair: Pair) -> Tensor:
    r"""Angle left after the best permutation of units, a metric, in [0, π].

    $$\min_P \arccos \frac{\langle RP, S \rangle}{\|R\| \|S\|}$$

    with centred columns; widths are made equal by units that are always zero.

    >>> R, S = [[0.0, 1.0], [1.0, 5.0]], [[1.0, 0.0], [5.0, 1.0]]
    >>> angular_permutation_procrustes_distance(R, S)
    0.0
    """
    return 2 * ((2 * _shortfall(pair)).sqrt() / 2).clamp(max=1).arcsin()


@measure(
    reads="representation",
    family="alignment",
    bounds=(0.0, inf),
    identical=0.0,
    larger_is_more_similar=False,
    invariances=_INVARIANCES - {Invariance.ISOTROPIC_SCALING},
    reference=_WILLIAMS,
    cost=_ASSIGNMENT,
    influence=lambda pair, *, rows: influence_on_size_and_shape(
        pair, _shortfall(pair), _matched_rows(pair, rows), rows
    ),
    streams=True,
)
def permutation_size_and_shape_distance(pair: Pair) -> Tensor:
    r"""Distance left after the best permutation of units, centred but at the given scales.

    $$\min_P \|RP - S\|_F$$

    In the units of the representation; it grows with the root of N. A metric.

    >>> permutation_size_and_shape_distance([[0.0], [2.0]], [[0.0, 0.0], [0.0, 4.0]])
    1.4142135623730951
    """
    return size_and_shape(pair, _shortfall(pair))


def _unit_lengths(side: Side, place: str) -> Tensor:
    """The norm of each centred unit at Frobenius norm one, `(D,)`; none may be zero."""
    root_n = side.n_inputs**0.5
    lengths = torch.linalg.vector_norm(side.unit, dim=0, dtype=torch.float64)
    # What varies by no more than the last digit of its format is rounding, not variation.
    last_digit = torch.finfo(side.representation.dtype).eps * side.means.abs()
    is_dead = lengths * side.norm <= 2 * last_digit * root_n
    is_dead |= lengths == 0
    if bool(is_dead.any()):
        raise UndefinedScore(
            f"{int(is_dead.sum())} units of the {place} representation are constant over the "
            f"inputs, the first of them unit {int(is_dead.int().argmax())}, so they correlate "
            f"with nothing. Remove them, or use permutation_procrustes_distance."
        )
    return lengths


def _correlations(pair: Pair) -> Tensor:
    """The correlation of each unit of the one with each of the other, `(D1, D2)`."""

    def make() -> Tensor:
        first, second = _unit_lengths(pair.a, "first"), _unit_lengths(pair.b, "second")
        return (unit_products(pair) / (first[:, None] * second)).clamp(-1, 1)

    return pair.once("unit correlations", make)


def _hard_match(pair: Pair) -> tuple[Tensor, Tensor]:
    return pair.once("hard match", lambda: best_assignment(_correlations(pair)))


def _soft_match(pair: Pair) -> tuple[Tensor, Tensor]:
    best = _correlations(pair).argmax(1)
    return torch.arange(len(best), device=best.device), best


def _influence_on_mean(pair: Pair, match: tuple[Tensor, Tensor], rows: slice | Tensor) -> Tensor:
    """The influence on the mean correlation of matched units, the match held fixed."""
    first, second = match
    x = pair.a.unit[rows].double() / _unit_lengths(pair.a, "first")
    y = pair.b.unit[rows].double() / _unit_lengths(pair.b, "second")
    x, y = x[:, first], y[:, second]
    # Of a correlation: the product of both standardised units, less half of their squares.
    correlations = _correlations(pair)[first, second]
    return pair.n_inputs * (x * y - correlations / 2 * (x.square() + y.square())).mean(1)


@measure(
    reads="representation",
    family="alignment",
    bounds=(-1.0, 1.0),
    identical=1.0,
    invariances=_INVARIANCES,
    reference=_LI,
    cost=_ASSIGNMENT,
    influence=lambda pair, *, rows: _influence_on_mean(pair, _hard_match(pair), rows),
)
def hard_correlation_match(pair: Pair) -> Tensor:
    r"""Mean correlation of units matched one to one, in [-1, 1].

    $$\max_{\text{matches}} \frac{1}{D} \sum_{(j, l)}
    \operatorname{corr}(R_{\cdot j}, S_{\cdot l})$$

    over one-to-one matches of the D units of the narrower side. Undefined where a unit is
    constant over the inputs.

    >>> round(hard_correlation_match([[0.0, 1.0], [1.0, 5.0]], [[1.0, 0.0], [5.0, 1.0]]), 6)
    1.0
    """
    return _correlations(pair)[_hard_match(pair)].mean()


@measure(
    reads="representation",
    family="alignment",
    bounds=(-1.0, 1.0),
    identical=1.0,
    is_symmetric=False,
    invariances=_INVARIANCES,
    reference=_LI,
    cost="O(N D1 D2) per pair",
    influence=lambda pair, *, rows: _influence_on_mean(pair, _soft_match(pair), rows),
)
def soft_correlation_match(pair: Pair) -> Tensor:
    r"""Mean correlation of each unit of the first model with its best of the second, in [-1, 1].

    $$\frac{1}{D_1} \sum_j \max_l \operatorname{corr}(R_{\cdot j}, S_{\cdot l})$$

    Several units may share a match. Some software averages both directions. Undefined where a
    unit is constant over the inputs.

    >>> R, S = [[0.0, 1.0], [1.0, 5.0], [0.0, 3.0]], [[2.0], [10.0], [6.0]]
    >>> round(soft_correlation_match(S, R), 6)
    1.0
    """
    return _correlations(pair).amax(1).mean()
