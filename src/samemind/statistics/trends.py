"""Does similarity change with ε? Trend, confidence interval, permutation test, effect size.

Pairs that share a model are not independent: with seven models a single odd one takes part in six
of the 21 pairs. So models are resampled, not pairs, and labels are permuted within models.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from samemind.statistics.pairs import PairScores

NAN = float("nan")
RESAMPLES = 2000
PERMUTATIONS = 4999
FEWEST_UNITS = 4


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
    - `p_value`: of the permutation test; NaN below two levels or three models.
    - `effect`: the change in units of the standard deviation of scores within a level.
    - `share_rising`: the share of pairs whose score is higher at the last level than at the first.
    - `last`: the mean score at the highest ε.
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


def trend(
    pairs: PairScores,
    *,
    resamples: int = RESAMPLES,
    permutations: int = PERMUTATIONS,
    random_seed: int = 0,
) -> Trend:
    """The trend of the mean score over the levels, with a bootstrap over models.

    **Cost:** O((resamples · units + permutations) · units · levels), about 10 ms for 28 models.
    """
    generator = np.random.default_rng(random_seed)
    contrast = line_contrast(len(pairs.levels))
    targets = np.zeros((len(pairs.levels), 3))
    targets[:, 0] = contrast
    targets[0, 1] = targets[-1, 2] = 1
    change, first, last = bootstrap_over_units(pairs, targets, resamples, generator)
    within = np.sqrt(np.nanmean([np.nanvar(matrix) for matrix in pairs.scores]))
    both = pairs.scores[-1] - pairs.scores[0]
    rising = both[np.isfinite(both)]
    return Trend(
        change=change,
        p_value=permutation_test(pairs, contrast, permutations, generator),
        effect=change.value / within if within > 0 else NAN,
        share_rising=float((rising > 0).mean()) if rising.size else NAN,
        first=first,
        last=last,
        n_units=len(pairs.units),
        n_pairs=int(np.isfinite(pairs.scores[-1]).sum()) // 2,
        n_levels=len(pairs.levels),
    )


def line_contrast(n_levels: int) -> np.ndarray:
    """Weights of the level means that give the change along their least-squares line.

    >>> line_contrast(2).tolist()
    [-1.0, 1.0]
    """
    places = np.arange(n_levels) - (n_levels - 1) / 2
    return places * (n_levels - 1) / (places @ places) if n_levels > 1 else np.full(1, NAN)


def bootstrap_over_units(
    pairs: PairScores, targets: np.ndarray, resamples: int, generator: np.random.Generator
) -> list[Interval]:
    """A 95 % interval for each weighted sum of level means; `targets` is (levels, sums).

    Units are drawn with replacement, with all their levels; a pair counts as often as its two
    members were drawn together, and copies of one unit form no pair. The interval is the estimate
    ± t(n − 1) standard errors of the bootstrap, enlarged by n / (n − 1): percentiles of so few
    units are too narrow (80–90 % found instead of 95 % with four to ten models; see the tests).
    """
    n = len(pairs.units)
    estimates = pairs.level_means @ targets
    if n < FEWEST_UNITS:
        return [Interval(float(value)) for value in estimates]
    from scipy.special import stdtrit

    weights = generator.multinomial(n, np.full(n, 1 / n), size=resamples).astype(float)
    present = np.isfinite(pairs.scores)
    scores = np.where(present, pairs.scores, 0)
    sums = np.einsum("bli,bi->bl", np.matmul(weights, scores).swapaxes(0, 1), weights)
    counts = np.einsum(
        "bli,bi->bl", np.matmul(weights, present.astype(float)).swapaxes(0, 1), weights
    )
    usable = (counts > 0).all(axis=1)
    drawn = (sums[usable] / counts[usable]) @ targets
    half = stdtrit(n - 1, 0.975) * drawn.std(axis=0, ddof=1) * n / (n - 1)
    return [
        Interval(float(value), float(value - width), float(value + width))
        for value, width in zip(estimates, half, strict=True)
    ]


def permutation_test(
    pairs: PairScores, contrast: np.ndarray, permutations: int, generator: np.random.Generator
) -> float:
    """The two-sided p-value of "ε makes no difference", by permuting ε within each model.

    A model's part in its pairs' scores (the least-squares solution of score(a, b) = part(a) +
    part(b) at each level) is one series over ε; under the hypothesis the order of each series is
    arbitrary, for every model on its own. Exact up to the estimation of the parts; where scores
    vary by pair much more than by model the test errs towards not rejecting.
    """
    parts = unit_parts(pairs)
    if len(pairs.levels) < 2 or parts is None:
        return NAN
    present = np.isfinite(parts)
    counts = present.sum(axis=0)

    def statistic(values: np.ndarray) -> np.ndarray:
        return 2 * (np.where(present, values, 0).sum(axis=-2) / counts) @ contrast

    shuffled = np.broadcast_to(parts, (permutations, *parts.shape)).copy()
    for unit in range(len(parts)):
        levels = np.flatnonzero(present[unit])
        order = generator.random((permutations, len(levels))).argsort(axis=1)
        shuffled[:, unit, levels] = parts[unit, levels][order]
    observed = abs(float(statistic(parts)))
    # Equal up to rounding counts as extreme: the identity is one of the permutations.
    extreme = np.abs(statistic(shuffled)) >= observed * (1 - 1e-9) - 1e-15
    return float((1 + extreme.sum()) / (1 + permutations))


def unit_parts(pairs: PairScores) -> np.ndarray | None:
    """What each unit contributes to its pairs, (units, levels); NaN where it is absent.

    None where a level has too few pairs to tell the units apart (fewer than three units).
    """
    parts = np.full((len(pairs.units), len(pairs.levels)), NAN)
    for level, matrix in enumerate(pairs.scores):
        i, j = np.nonzero(np.triu(np.isfinite(matrix), 1))
        members = np.unique(np.concatenate([i, j]))
        design = np.zeros((len(i), len(members)))
        rows = np.arange(len(i))
        design[rows, np.searchsorted(members, i)] = 1
        design[rows, np.searchsorted(members, j)] = 1
        if len(members) < 3 or np.linalg.matrix_rank(design) < len(members):
            return None
        parts[members, level] = np.linalg.lstsq(design, matrix[i, j], rcond=None)[0]
    return parts
