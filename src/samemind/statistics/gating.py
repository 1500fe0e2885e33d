"""Rules that may pass, fail or stay undecided, looked at once or several times.

A rule says that a share is at most so much, a loss at most so large, or a score at least so high.
It *passes* where what it forbids is rejected, and *fails* where what it demands is, each by a test
that is wrong in at most `SIDE` of samples, however often one looked on the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, sqrt
from typing import Protocol

from samemind.lazy import np
from samemind.statistics.swaps import POWER, exact_interval, inputs_needed

PASS, FAIL, UNDECIDED = "pass", "fail", "undecided"
SIDE = 0.025  # of wrong passes, and of wrong failures
SPENT = 1.5  # of the chance to err, a share (n / N)^SPENT is spent by the n-th of N inputs
LOOKS = 16
FIRST_LOOK = 1 / 16  # of all inputs
NUISANCE = 0.001  # of a p-value, for not knowing how often two models differ
SHARES_TRIED = 25  # of inputs that turn, within what the number found leaves possible
NEVER = 1e-14
MOST_INPUTS = 2**40


def looks(n: int) -> tuple[int, ...]:
    """After how many inputs a decision is looked for: sixteen times, the last after all N.

    >>> looks(1600)[0], looks(1600)[-1]
    (100, 1600)
    """
    first = FIRST_LOOK
    return tuple(sorted({ceil(n * first ** (1 - i / (LOOKS - 1))) for i in range(LOOKS)}))


def spent(n: int, of: int, side: float) -> float:
    """The chance to err that may be spent by the n-th of so many inputs (Lan and DeMets, 1983)."""
    return side * min(n / of, 1.0) ** SPENT


class Evidence(Protocol):
    """What is known of one rule so far."""

    def passes(self, side: float) -> bool:
        """Whether what the rule forbids is rejected, with that chance to err."""
        ...

    def fails(self, side: float) -> bool:
        """Whether what the rule demands is rejected, with that chance to err."""
        ...

    def needed(self) -> int | None:
        """How many inputs would decide in 80 % of samples, if things stay as they are."""
        ...


@dataclass(frozen=True, kw_only=True)
class Share:
    """That a share of inputs is at most `limit`: an exact binomial test at every look.

    - `seen`, `counts`: after so many inputs, so many of that kind; one of each per look.
    - `planned`: how many inputs there are.
    """

    limit: float
    seen: tuple[int, ...]
    counts: tuple[int, ...]
    planned: int

    @property
    def found(self) -> float:
        return self.counts[-1] / self.seen[-1] if self.seen[-1] else 0.0

    def passes(self, side: float) -> bool:
        few = bounds_of_counts(self.seen, self.planned, self.limit, side, is_low=True)
        return any(count <= bound for count, bound in zip(self.counts, few, strict=True))

    def fails(self, side: float) -> bool:
        many = bounds_of_counts(self.seen, self.planned, self.limit, side, is_low=False)
        return any(count >= bound for count, bound in zip(self.counts, many, strict=True))

    def needed(self) -> int | None:
        return inputs_needed(self.found, self.limit, at_least=max(self.seen[-1], 1))


@lru_cache(maxsize=4096)
def bounds_of_counts(
    seen: tuple[int, ...], planned: int, share: float, side: float, *, is_low: bool
) -> tuple[int, ...]:
    """At each look the largest count that is too few for a share, or the smallest too many.

    With a true share at the limit, the chance to be at or beyond a bound at any look so far is at
    most what may be spent by then; exact, for the counts between looks are binomial. With one look
    they are those of Clopper and Pearson's interval. -1 and n + 1 where no count will do.

    **Cost:** for each look the product of two distributions of counts, by a Fourier transform.
    """
    from scipy.stats import binom

    left = np.ones(1)  # of each count, the chance to be here without having stopped
    used, before, bounds = 0.0, 0, []
    for n in seen:
        left = _convolved(left, binom.pmf(np.arange(n - before + 1), n - before, share))
        before = n
        budget = spent(n, planned, side) - used
        sums = np.cumsum(left if is_low else left[::-1])
        # Within rounding of the transform nothing is certain: the bound keeps a distance.
        fitting = int(np.searchsorted(sums, budget - 1e-13, side="right"))
        if fitting:
            used += float(sums[fitting - 1])
        if is_low:
            bounds.append(fitting - 1)
            left[:fitting] = 0
        else:
            bounds.append(n + 1 - fitting)
            left[n + 1 - fitting :] = 0
    return tuple(bounds)


def _convolved(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    from scipy.signal import fftconvolve

    if min(len(a), len(b)) < 64:
        return np.convolve(a, b)
    return np.clip(fftconvolve(a, b), 0.0, None)


@dataclass(frozen=True, kw_only=True)
class Loss:
    """That the accuracy falls by at most `limit`: an exact test of what turns either way.

    - `seen`, `lost`, `won`: after so many inputs, so many turned wrong and right; one per look.

    Looks are corrected by the sum of what each may spend.
    """

    limit: float
    seen: tuple[int, ...]
    lost: tuple[int, ...]
    won: tuple[int, ...]
    planned: int

    @property
    def found(self) -> float:
        return (self.lost[-1] - self.won[-1]) / self.seen[-1]

    def _rejects(self, side: float, *, is_low: bool) -> bool:
        used = 0.0
        for n, lost, won in zip(self.seen, self.lost, self.won, strict=True):
            budget = spent(n, self.planned, side)
            if loss_p_value(lost, won, n, self.limit, is_low=is_low) <= budget - used:
                return True
            used = budget
        return False

    def passes(self, side: float) -> bool:
        return self._rejects(side, is_low=True)

    def fails(self, side: float) -> bool:
        return self._rejects(side, is_low=False)

    def needed(self) -> int | None:
        n = self.seen[-1]
        turning = (self.lost[-1] + self.won[-1] + 1) / (n + 1)
        return _needed(abs(self.found - self.limit), sqrt(turning - self.found**2), n)


@lru_cache(maxsize=4096)
def loss_p_value(lost: int, won: int, n: int, limit: float, *, is_low: bool) -> float:
    """How likely a net loss so low (or so high) is, where the true one is at the limit.

    Of n inputs some turn, by a share that is not known: the largest p over all that the number
    found leaves possible (99.9 %), and 0.001 for those it does not (Berger and Boos, 1994). Given
    how many turn, how many of them turn wrong is binomial.

    >>> loss_p_value(0, 10, 100, 0.0, is_low=True) < 0.01
    True
    """
    from scipy.stats import binom

    low, high = exact_interval(lost + won, n, NUISANCE)
    low = min(max(low, limit), 1.0)
    high = max(high, low)
    net = lost - won
    worst = 0.0
    for share in np.linspace(low, high, SHARES_TRIED):
        few, many = (int(found(NEVER, n, share)) for found in (binom.ppf, binom.isf))
        turned = np.arange(max(few, 0), many + 1)
        wrong = 0.5 if share == 0 else min((1 + limit / share) / 2, 1.0)
        # lost - (turned - lost) <= net, and its counterpart.
        if is_low:
            within = binom.cdf(np.floor((turned + net) / 2), turned, wrong)
        else:
            within = binom.sf(np.ceil((turned + net) / 2) - 1, turned, wrong)
        worst = max(worst, float(np.dot(binom.pmf(turned, n, share), within)))
    return min(worst + NUISANCE, 1.0)


@dataclass(frozen=True, kw_only=True)
class Score:
    """That a score lies at least `limit` above its floor, by its standard error.

    It is looked at once, after all inputs; the test is approximate, as standard errors are.
    """

    limit: float
    above_floor: float
    standard_error: float
    n_inputs: int

    def passes(self, side: float) -> bool:
        return self.above_floor - self.limit >= _normal(side) * self.standard_error

    def fails(self, side: float) -> bool:
        apart = self.limit - self.above_floor
        return apart > 0 and apart >= _normal(side) * self.standard_error

    def needed(self) -> int | None:
        gap = abs(self.above_floor - self.limit)
        return _needed(gap, self.standard_error * sqrt(self.n_inputs), self.n_inputs)


def _normal(side: float) -> float:
    from scipy.special import ndtri

    return -float(ndtri(side))


def _needed(gap: float, deviation: float, n: int) -> int | None:
    """How many inputs tell a gap from 0 in 80 % of samples; None for no gap to speak of."""
    if not gap:
        return None
    enough = ceil(((_normal(SIDE) + _normal(1 - POWER)) * deviation / gap) ** 2)
    return max(enough, n) if enough < MOST_INPUTS else None


def decided(rules: Sequence[Evidence], side: float = SIDE, *, later: int = 0) -> list[str]:
    """Of each rule whether it passes, fails or is undecided.

    All rules must pass together, so each may pass at the full level: a wrong pass of all needs a
    wrong pass of the very rule that is broken. To fail, one rule is enough: failures are corrected
    for the number of rules (Holm, 1979), so that in at most `side` of samples any is wrong.

    **Arguments:** `later`: rules that are not looked at yet, and count all the same.
    """
    answers = [PASS if rule.passes(side) else UNDECIDED for rule in rules]
    open_rules = list(range(len(rules)))
    while open_rules:
        failing = [i for i in open_rules if rules[i].fails(side / (len(open_rules) + later))]
        for i in failing:
            answers[i] = FAIL
        if not failing:
            break
        open_rules = [i for i in open_rules if i not in failing]
    return answers


def together(answers: Sequence[str]) -> str:
    """The answer of all rules: fail if one does, pass if all do, and undecided else."""
    if FAIL in answers:
        return FAIL
    return PASS if answers and set(answers) == {PASS} else UNDECIDED
