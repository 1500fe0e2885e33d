"""How similarity changes over the levels of robustness, and how sure that is.

Pairs that share a model are not independent: with seven models, an odd one takes part in six of
the 21 pairs. So every interval and every test goes by models: each model has one pseudo-value,
which is what the estimate owes to it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import exp, log, sqrt

from samemind.errors import InvalidInput
from samemind.lazy import np
from samemind.statistics.pairs import PairScores

NAN = float("nan")
FEWEST_UNITS = 4
CONFIDENCE = 0.95
# Of a level, the tail counts twice: four to ten models show less than half of the skewness that
# there is (five exponential ones 0.8 of 2). In a change, the tails of two levels cancel in part.
TAIL_OF_LEVELS = 2.0


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % confidence interval; NaN limits where it cannot be had."""

    value: float
    lower: float = NAN
    upper: float = NAN


@dataclass(frozen=True)
class Trend:
    """How similarity changes from the lowest to the highest ε.

    - `change`: along the straight line through the level means, with levels equally spaced (the
      ε of studies are, roughly, on a logarithmic scale with 0 added), from the first to the last.
    - `p_value`: two-sided, of no change; below 0.05 exactly where the interval of `change` leaves
      out 0. NaN below two levels or four models.
    - `effect`: the change in units of the standard deviation of scores within a level.
    - `share_rising`: the share of pairs whose score is higher at the last level than at the first.
    - `first`, `last`: the mean score at the lowest and the highest ε.
    - `difference`: last minus first, which is `change` where there are two levels.
    - `n_pairs`: how many pairs have a score at the last level.
    """

    change: Interval
    p_value: float
    effect: float
    share_rising: float
    first: Interval
    last: Interval
    n_units: int
    n_pairs: int
    n_levels: int
    difference: Interval = field(default=Interval(NAN))
    units: tuple[str, ...] = ()


def trend(pairs: PairScores) -> Trend:
    """The trend of the mean score over the levels, with intervals that go by models.

    The interval is Tukey's jackknife over models: the estimate ± t(n − 1) standard errors of the
    pseudo-values, each end lengthened by what their skewness asks for (see `Estimate`). It holds
    where models have slopes of their own. Where scores vary by pair much more than by model it is
    too wide, never too narrow.

    **Cost:** O(units² · levels); below a millisecond for 28 models.
    """
    n_levels = len(pairs.levels)
    contrast = line_contrast(n_levels)
    first, last = np.eye(n_levels)[[0, -1]]
    estimates = [estimate(pairs, weights) for weights in (contrast, last - first, first, last)]
    change, difference, *ends = estimates
    within = np.sqrt(np.nanmean([np.nanvar(matrix) for matrix in pairs.scores]))
    both = pairs.scores[-1] - pairs.scores[0]
    rising = both[np.isfinite(both)]
    lower_end, upper_end = (_as_level(end, pairs) for end in ends)
    return Trend(
        change=change.interval(),
        p_value=change.p_value() if n_levels > 1 else NAN,
        effect=change.value / within if within > 0 else NAN,
        share_rising=float((rising > 0).mean()) if rising.size else NAN,
        first=lower_end,
        last=upper_end,
        n_units=len(pairs.units),
        n_pairs=int(np.isfinite(pairs.scores[-1]).sum()) // 2,
        n_levels=n_levels,
        difference=difference.interval(),
        units=pairs.units,
    )


def line_contrast(n_levels: int) -> np.ndarray:
    """Weights of the level means that give the change along their least-squares line.

    >>> line_contrast(2).tolist()
    [-1.0, 1.0]
    """
    places = np.arange(n_levels) - (n_levels - 1) / 2
    return places * (n_levels - 1) / (places @ places) if n_levels > 1 else np.full(1, NAN)


def findable_change(n_units: int, n_measures: int = 1, power: float = 0.8) -> float:
    """The change that a study of this size finds in a share `power` of cases.

    In units of the standard deviation with which single models change; `n_measures` are tested
    together, and the first of them to be found has to pass 0.05 / `n_measures` (Holm).

    >>> round(findable_change(7), 2), round(findable_change(4, n_measures=3), 2)
    (1.27, 3.12)
    """
    from scipy.special import nctdtr, stdtrit

    df = n_units - 1
    critical = stdtrit(df, 1 - (1 - CONFIDENCE) / (2 * n_measures))
    low, high = 0.0, 100.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        is_found = 1 - nctdtr(df, middle * sqrt(n_units), critical) >= power
        low, high = (low, middle) if is_found else (middle, high)
    return high


@dataclass(frozen=True)
class Estimate:
    """A weighted sum of level means, with what is known of its error.

    - `standard_error`: of the jackknife over `n` models; NaN below four.
    - `skewness`: of the models' pseudo-values (G1 of Joanes and Gill, 1998).

    With few models and a long tail, a sample misses the tail more often than not, and its mean is
    too far on the other side, with too small a deviation: at the exponential distribution and
    five models, estimate ± t standard errors holds the truth in 89 % of cases, not 95. The
    quantile of the studentised mean has a first term for that, γ (1 + 2 t²) / (6 √n) (Hall, 1992,
    The bootstrap and Edgeworth expansion, section 2.6). It is added on the side of the longer
    tail, `tail` times, and never taken away on the other.
    """

    value: float
    standard_error: float
    skewness: float
    n: int
    tail: float = 1.0

    def interval(self) -> Interval:
        """The 95 % confidence interval."""
        low, high = self.reaches()
        return Interval(self.value, self.value - low, self.value + high)

    def reaches(self) -> tuple[float, float]:
        """How far the interval reaches below and above the estimate."""
        if not self.standard_error > 0:
            return self.standard_error, self.standard_error
        from scipy.special import stdtrit

        t = float(stdtrit(self.n - 1, (1 + CONFIDENCE) / 2))
        low, high = (t + self._asked(side) * (1 + 2 * t * t) for side in (-1, 1))
        return low * self.standard_error, high * self.standard_error

    def _asked(self, side: int) -> float:
        """What a tail below (−1) or above (1) adds, before t comes in."""
        return self.tail * max(side * self.skewness, 0.0) / (6 * sqrt(self.n))

    def p_value(self) -> float:
        """Two-sided, of a true value of 0: below 0.05 where the interval leaves out 0."""
        if self.standard_error != self.standard_error:
            return NAN
        if self.value == 0:
            return 1.0
        if self.standard_error == 0:
            return 0.0
        from scipy.special import stdtr

        distance = abs(self.value) / self.standard_error
        asked = self._asked(-1 if self.value > 0 else 1)
        # The t whose lengthened reach ends at 0: the root of 2 a t² + t + a − distance.
        root = sqrt(max(1 + 8 * asked * (distance - asked), 0.0))
        t = (root - 1) / (4 * asked) if asked > 0 else distance
        return float(min(1.0, 2 * stdtr(self.n - 1, -t)))


def estimate(pairs: PairScores, weights: np.ndarray) -> Estimate:
    """The weighted sum of level means, with the jackknife over models; `weights` is (levels,).

    A model that is absent at some levels is left out of the others. Where leaving one out empties
    a level, there is no error.
    """
    value = float(pairs.level_means @ weights)
    n = len(pairs.units)
    if n < FEWEST_UNITS:
        return Estimate(value, NAN, NAN, n)
    present = np.isfinite(pairs.scores)
    row_sums = np.where(present, pairs.scores, 0).sum(axis=2)  # (levels, units)
    row_counts = present.sum(axis=2)
    sums = row_sums.sum(axis=1, keepdims=True) - 2 * row_sums
    counts = row_counts.sum(axis=1, keepdims=True) - 2 * row_counts
    used = weights != 0
    if not (counts[used] > 0).all():
        return Estimate(value, NAN, NAN, n)
    return jackknifed(value, weights[used] @ (sums[used] / counts[used]))


def beside(pairs: PairScores, covariate: PairScores) -> tuple[Estimate, Estimate]:
    """The change along the levels beside a covariate of pairs, and the slope of the covariate.

    An analysis of covariance: scores depend on the level, and linearly on the covariate with one
    slope for all levels. The change is that of the level means at the mean of the covariate, along
    their line. Both have the jackknife over models.

    **Arguments:**

    - `covariate`: one value for each pair of the same units at the same levels.

    Where the covariate is the same for all pairs of every level, nothing is known of its slope, and
    both are NaN.

    **Cost:** O(units³ · levels).
    """
    if pairs.units != covariate.units or pairs.levels != covariate.levels:
        raise InvalidInput("A covariate has a value for each pair that has a score.")
    n = len(pairs.units)
    scores, values = pairs.scores, np.where(np.isfinite(pairs.scores), covariate.scores, NAN)
    whole = _adjusted(scores, values)
    if n < FEWEST_UNITS or len(pairs.levels) < 2:
        return Estimate(whole[0], NAN, NAN, n), Estimate(whole[1], NAN, NAN, n)
    without = np.array([
        _adjusted(*(np.delete(np.delete(m, i, 1), i, 2) for m in (scores, values)))
        for i in range(n)
    ])  # fmt: skip
    if not np.isfinite(without).all():
        return Estimate(whole[0], NAN, NAN, n), Estimate(whole[1], NAN, NAN, n)
    change, slope = (jackknifed(whole[i], without[:, i]) for i in (0, 1))
    return change, slope


def _adjusted(scores: np.ndarray, values: np.ndarray) -> tuple[float, float]:
    """The change of the level means at the mean of a covariate, and its slope within levels."""
    if not np.isfinite(values).any(axis=(1, 2)).all():
        return NAN, NAN
    means, centres = (np.nanmean(m, axis=(1, 2), keepdims=True) for m in (scores, values))
    squares = float(np.nansum((values - centres) ** 2))
    if squares <= 1e-12 * max(float(np.nansum(values**2)), 1e-300):
        return NAN, NAN
    slope = float(np.nansum((values - centres) * (scores - means)) / squares)
    adjusted = (means - slope * (centres - centres.mean())).ravel()
    return float(line_contrast(len(adjusted)) @ adjusted), slope


def jackknifed(value: float, without: np.ndarray) -> Estimate:
    """An estimate with what it is without each model."""
    n = len(without)
    pseudo = n * value - (n - 1) * without
    deviations = pseudo - pseudo.mean()
    variance = float((deviations**2).mean())
    # Equal up to rounding is equal.
    if variance <= (1e-12 * max(float(np.abs(pseudo).max()), 1e-12)) ** 2:
        return Estimate(value, 0.0, 0.0, n)
    skewness = float((deviations**3).mean()) / variance**1.5 * sqrt(n * (n - 1)) / (n - 2)
    return Estimate(value, sqrt(variance / (n - 1)), skewness, n)


def _as_level(found: Estimate, pairs: PairScores) -> Interval:
    """The interval of a mean score; where all scores lie in [0, 1], also on the logistic scale.

    Near an end of the range the tail points away from it, whether the few models show it or not.
    The wider of the two intervals is taken at each end, and none goes beyond the range.
    """
    found = replace(found, tail=TAIL_OF_LEVELS)
    plain = found.interval()
    scores = pairs.scores[np.isfinite(pairs.scores)]
    is_inside = bool(scores.size) and scores.min() >= 0 and scores.max() <= 1
    if not (is_inside and 0 < found.value < 1) or plain.lower != plain.lower:
        return plain
    low, high = found.reaches()
    odds = log(found.value / (1 - found.value))
    per_score = 1 / (found.value * (1 - found.value))
    return Interval(
        found.value,
        max(min(plain.lower, _logistic(odds - low * per_score)), 0.0),
        min(max(plain.upper, _logistic(odds + high * per_score)), 1.0),
    )


def _logistic(x: float) -> float:
    return 1 / (1 + exp(-x)) if x >= 0 else exp(max(x, -700.0)) / (1 + exp(max(x, -700.0)))
