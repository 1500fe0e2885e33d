"""Linear regression: what a linear map of one representation explains of the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samemind.lazy import torch
from samemind.measures.base import Invariance, Pair, measure
from samemind.sides.whitening import (
    check_inputs_suffice,
    cross_covariance,
    directions,
    why_leverage_is_too_high,
)

if TYPE_CHECKING:
    from torch import Tensor


def _explained(pair: Pair) -> Tensor:
    """The inner products of a basis of the first side with the factor of the second."""
    found = directions(pair.a)
    check_inputs_suffice(pair.n_inputs, len(found.variances))
    return found.whitener.T @ cross_covariance(pair)


def _predicted_rows(pair: Pair) -> tuple[Tensor, Tensor]:
    """Per input, the squared norm of the second side's row, and of what is left unexplained."""
    fit = directions(pair.a).whitener @ _explained(pair)

    def make(some: slice | Tensor) -> Tensor:
        predicted = pair.a.factor_rows(some).double() @ fit
        given = pair.b.factor_rows(some).double()
        return torch.stack([given.square().sum(1), (given - predicted).square().sum(1)], dim=1)

    given, left = pair.by_pieces(make).T.contiguous()
    return given, left


def _shares(pair: Pair) -> Tensor:
    given, left = _predicted_rows(pair)
    return pair.n_inputs * (given - left)


def _influence(pair: Pair) -> Tensor:
    # The fit minimises the residual, so it moves it only by the inputs' own residuals.
    given, left = _predicted_rows(pair)
    return pair.n_inputs * (left.sum() * given - left)


def _unsettled(pair: Pair) -> str | None:
    return why_leverage_is_too_high(pair.a)


@measure(
    reads="representation",
    family="regression",
    bounds=(0.0, 1.0),
    identical=1.0,
    is_symmetric=False,
    invariances={
        Invariance.UNIT_PERMUTATION,
        Invariance.ORTHOGONAL,
        Invariance.ISOTROPIC_SCALING,
        Invariance.TRANSLATION,
    },
    reference="Kornblith et al. (2019), arXiv:1905.00414",
    cost="O(N D1 D2 + D1² D2) per pair, after O(N D1² + D1³) for the first model, in float64",
    per_input=_shares,
    influence=_influence,
    unsettled=_unsettled,
    streams=True,
)
def linear_regression_r2(pair: Pair) -> Tensor:
    r"""Share of the second model's variance that a linear map of the first explains, in [0, 1].

    $$R^2 = 1 - \frac{\min_{B, b} \|R B + b - S\|_F^2}{\|S - \bar S\|_F^2}
    = \frac{\|U_R^\top S\|_F^2}{\|S - \bar S\|_F^2}$$

    Fitted and judged on the same inputs. An invertible linear map of the first side changes
    nothing, one of the second does. Undefined where N is no larger than D + 1.

    >>> round(linear_regression_r2([[0.0], [1.0], [2.0], [4.0]], [[0.0], [1.0], [0.0], [1.0]]), 6)
    0.257143
    """
    return _explained(pair).square().sum() / pair.b.covariance.double().trace()
