"""Intervals of 95 % around a score, from its standard error or from counts, within its bounds.

A score ± 1.96 standard errors leaves the bounds, and has no width where all inputs say the same.
A score-type interval instead holds every value at which the score found would not be surprising,
with the error that it would have *there*.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf, isfinite, nan, sqrt
from typing import TYPE_CHECKING, TypeAlias

from samemind.lazy import np

if TYPE_CHECKING:
    from torch import Tensor

#: The lower and the upper end; NaN where an end is not known.
Interval: TypeAlias = tuple[float, float]

UNKNOWN: Interval = (nan, nan)
#: Two-sided intervals of 95 %.
_UPPER_SHARE = 0.975
#: Relative to the range of a score: nearer to a bound is rounding.
_ROUNDING = 1e-9
#: Draws from the shares of the counts. Their 2.5th percentile is then off by some 0.03 deviations.
DRAWS = 4000
#: What each category counts beforehand (Jeffreys).
_PRIOR = 0.5
#: The same for `joint_counts`: being wrong for both is one category, and what with is another.
JOINT_PRIOR = (0.5, 0.5, 0.5, 0.25, 0.25)


def _quantile(n_inputs: int) -> float:
    from scipy.special import stdtrit  # scipy.stats takes seconds to import

    return float(stdtrit(n_inputs - 1, _UPPER_SHARE))


def score_interval(
    score: float, error: float, n_inputs: int, bounds: tuple[float, float]
) -> Interval:
    """The values at which the score would lie within t(N − 1) standard errors of them.

    The squared error is taken to grow with the distance from the bounds as that of a share does,
    p (1 − p): for the share of inputs with some property this is Wilson's interval. Where there is
    no upper bound it grows with the distance from the lower one, and the other way round. Where all
    inputs say the same, the error is 0, and N inputs count as N draws of yes or no, the least that
    they can tell.

    **Arguments:** `error` is the standard error; one of the `bounds` may be infinite.

    **Returns:** lower and upper end; NaN where N is 1, and for an end that nothing bounds.

    **Source:** Wilson (1927), JASA 22, 209-212, at the effective number of inputs (Korn and
    Graubard, 1998, Survey Methodology 24, 193-201).

    >>> [round(end, 3) for end in score_interval(1.0, 0.0, 20, (0.0, 1.0))]
    [0.82, 1.0]
    """
    low, high = bounds
    if n_inputs < 2 or not isfinite(error) or not (isfinite(low) or isfinite(high)):
        return UNKNOWN
    reach = _quantile(n_inputs)
    if low == -inf:
        nearest, farthest = _half_bounded(high - score, error, reach, 0.0)
        return high - farthest, high - nearest
    if high == inf:
        return _half_bounded(score - low, error, reach, low)
    width = high - low
    share, error = (score - low) / width, error / width
    at_bound = min(share, 1 - share) <= _ROUNDING
    if at_bound:
        share = round(share)
    spread = share * (1 - share)
    effective = spread / error**2 if error > _ROUNDING and not at_bound else float(n_inputs)
    scale = 1 + reach**2 / effective
    centre = share + reach**2 / (2 * effective)
    half = reach * sqrt(spread / effective + reach**2 / (4 * effective**2))
    lower = 0.0 if share == 0 else max((centre - half) / scale, 0.0)
    upper = 1.0 if share == 1 else min((centre + half) / scale, 1.0)
    return low + width * lower, low + width * upper


def _half_bounded(distance: float, error: float, reach: float, low: float) -> Interval:
    if error == 0:
        # No input differs: nothing says how large the difference of one more could be.
        return (low, nan) if distance == 0 else UNKNOWN
    growth = reach**2 * error**2 / distance if distance else inf
    if growth == inf:
        return low, nan
    half = sqrt(distance * growth + growth**2 / 4)
    return low + max(distance + growth / 2 - half, 0.0), low + distance + growth / 2 + half


def symmetric_interval(
    score: float, error: float, n_inputs: int, bounds: tuple[float, float]
) -> Interval:
    """The score ± t(N − 1) standard errors, cut at the bounds.

    For a difference without its sign: its error does not shrink as it nears 0.

    >>> [round(end, 3) for end in symmetric_interval(0.1, 0.1, 101, (0.0, 1.0))]
    [0.0, 0.298]
    """
    if n_inputs < 2 or not isfinite(error):
        return UNKNOWN
    reach = _quantile(n_inputs) * error
    return max(score - reach, bounds[0]), min(score + reach, bounds[1])


def counts_interval(
    counts: Tensor,
    formula: Callable[[np.ndarray], np.ndarray],
    prior: float | Sequence[float] = _PRIOR,
) -> Interval:
    """The middle 95 % of a function of shares, over the shares that the counts leave possible.

    The shares are drawn from the Dirichlet distribution that Jeffreys' prior and the counts give,
    `DRAWS` times, always the same. Near 0 and 1, where a standard error says too little, this is
    as wide as so few events leave it.

    **Arguments:**

    - `counts`: of inputs in each category, `(K,)`.
    - `formula`: gives `(draws,)` from shares `(draws, K)`; what it leaves undefined is left out.
    - `prior`: what each category counts beforehand.

    **Source:** Jeffreys' interval for one share (Brown, Cai and DasGupta, 2001, Statistical Science
    16, 101-133), here for functions of several.
    """
    shares = drawn_shares(counts.double().cpu().numpy(), prior)
    with np.errstate(invalid="ignore", divide="ignore"):
        return middle(formula(shares))


def drawn_shares(counts: np.ndarray, prior: float | Sequence[float] = _PRIOR) -> np.ndarray:
    """`DRAWS` vectors of shares that the counts `(K,)` leave possible, `(draws, K)`."""
    weights = counts + np.asarray(prior)
    drawn = np.random.default_rng(0).standard_gamma(weights, size=(DRAWS, len(counts)))
    return drawn / drawn.sum(1, keepdims=True)


def middle(values: np.ndarray) -> Interval:
    """The middle 95 % of the values that are finite; NaN where fewer than half are."""
    finite = values[np.isfinite(values)]
    if 2 * len(finite) < len(values):
        return UNKNOWN
    low, high = np.quantile(finite, [1 - _UPPER_SHARE, _UPPER_SHARE])
    return float(low), float(high)
