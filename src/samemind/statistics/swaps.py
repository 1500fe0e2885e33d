"""What happens to single inputs when one model takes the place of another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

from samemind.errors import InvalidInput
from samemind.lazy import np

LOST, WON = "right to wrong", "wrong to right"  # the directions of flips

#: The 97.5th percentile of the standard normal distribution: two-sided intervals of 95 %.
Z95 = 1.959963984540054
LEVEL = 0.05
#: How often a number of inputs should decide that is called enough.
POWER = 0.8
STEPS = 8  # numbers of inputs that are tried between one and its double


@dataclass(frozen=True, kw_only=True)
class ClassFlips:
    """The flips among the inputs of one class."""

    label: int
    n_inputs: int
    negative: int
    positive: int


@dataclass(frozen=True, kw_only=True)
class Swap:
    """Model B in the place of model A, on N inputs with known classes.

    - `negative`, `positive`: inputs that A gets right and B wrong, and the reverse.
    - `churn`: inputs whose predicted class changes, right or wrong.
    - `negative_interval`: exact 95 % interval of the share of negative flips (Clopper–Pearson):
      at every N and share, either end is on the wrong side in at most 2.5 % of samples.
    - `p_value`: exact McNemar test of equal accuracies, two-sided. It decides `accuracy_answer`.
    - `gain`, `gain_interval`: accuracy of B minus that of A, with the 95 % interval of Bonett and
      Price (2012) for paired shares. It says how large a change may be; being approximate, it can
      leave out 0 where the exact test does not reject, or hold it where the test does.
    - `per_class`: the classes with at least one flip, most negative flips first.
    """

    n_inputs: int
    accuracy_a: float
    accuracy_b: float
    negative: int
    positive: int
    churn: int
    negative_interval: tuple[float, float]
    gain: float
    gain_interval: tuple[float, float]
    p_value: float
    negative_inputs: tuple[int, ...]
    positive_inputs: tuple[int, ...]
    per_class: tuple[ClassFlips, ...]

    @property
    def negative_share(self) -> float:
        return self.negative / self.n_inputs

    @property
    def accuracy_answer(self) -> str:
        """'more accurate', 'less accurate' or 'not told apart': B beside A, at a level of 5 %.

        The exact test decides, and not the interval of the gain: it errs in at most 5 % of
        samples at every N.
        """
        if self.p_value >= LEVEL:
            return "not told apart"
        return "more accurate" if self.gain > 0 else "less accurate"

    def answer(self, tolerance: float) -> str:
        """'yes', 'no' or 'undecided': is the share of negative flips at most `tolerance`?

        'yes' where the whole interval lies at or below it, 'no' where all of it lies above: each
        is wrong in at most 2.5 % of samples, at every N.
        """
        low, high = self.negative_interval
        if high <= tolerance:
            return "yes"
        return "no" if low > tolerance else "undecided"

    def inputs_needed(self, tolerance: float, power: float = POWER) -> int | None:
        """How many inputs decide in a share `power` of samples, if flips stay as frequent.

        None where even 2⁴⁰ would not, because the share is the tolerance itself.
        """
        return inputs_needed(self.negative_share, tolerance, at_least=self.n_inputs, power=power)

    def as_record(self) -> dict[str, Any]:
        """Everything as plain data, for JSON."""
        held = {name: value for name, value in vars(self).items() if name != "per_class"}
        return held | {"per_class": [vars(c) for c in self.per_class]}


def swap(predictions_a: Sequence[int], predictions_b: Sequence[int], labels: Sequence[int]) -> Swap:
    """What changes for N inputs when model B takes the place of model A.

    **Arguments:** the predicted class of each model and the correct class, each `(N,)`.

    **Raises:** `InvalidInput` for no inputs or unequal lengths.

    **Source:** negative flips: Yan et al. (2021), "Positive-congruent training", CVPR.

    >>> swap([0, 1, 2, 2], [0, 1, 1, 0], [0, 1, 2, 0]).negative
    1
    """
    a, b, truth = (np.asarray(values) for values in (predictions_a, predictions_b, labels))
    if not len(truth) or not len(a) == len(b) == len(truth):
        raise InvalidInput(
            f"Flips need the same inputs for both models and the labels, at least one, but there "
            f"are {len(a)} and {len(b)} predictions and {len(truth)} labels."
        )
    n = len(truth)
    right_a, right_b = a == truth, b == truth
    lost, won = right_a & ~right_b, ~right_a & right_b
    negative, positive = int(lost.sum()), int(won.sum())
    per_class = [
        ClassFlips(
            label=int(label),
            n_inputs=int((truth == label).sum()),
            negative=int(lost[truth == label].sum()),
            positive=int(won[truth == label].sum()),
        )
        for label in np.unique(truth[lost | won])
    ]
    return Swap(
        n_inputs=n,
        accuracy_a=float(right_a.mean()),
        accuracy_b=float(right_b.mean()),
        negative=negative,
        positive=positive,
        churn=int((a != b).sum()),
        negative_interval=exact_interval(negative, n),
        gain=(positive - negative) / n,
        gain_interval=paired_interval(positive, negative, n),
        p_value=mcnemar(negative, positive),
        negative_inputs=tuple(int(i) for i in np.flatnonzero(lost)),
        positive_inputs=tuple(int(i) for i in np.flatnonzero(won)),
        per_class=tuple(sorted(per_class, key=lambda c: (-c.negative, -c.positive, c.label))),
    )


def exact_interval(count: int, n: int, level: float = LEVEL) -> tuple[float, float]:
    """The 95 % interval of Clopper and Pearson (1934) of a share, `count` of `n`.

    Each end is where a count as extreme as this one would have a probability of 2.5 % (half of
    `level`), so that neither errs more often, whatever the share and `n` are. (Wilson's interval
    errs in 2.5 % on average: at a share of 1 % and 17 inputs, its lower end lies above it in 15.7 %
    of samples.) Biometrika 26, 404-413.

    >>> tuple(round(end, 4) for end in exact_interval(0, 100))
    (0.0, 0.0362)
    """
    from scipy.special import betaincinv

    low = 0.0 if count == 0 else float(betaincinv(count, n - count + 1, level / 2))
    high = 1.0 if count == n else float(betaincinv(count + 1, n - count, 1 - level / 2))
    return low, high


def decides(n: int, share: float, tolerance: float) -> float:
    """How likely `n` inputs give the right answer on `tolerance`, with a true share of flips.

    >>> decides(368, 0.0, 0.01), decides(367, 0.0, 0.01)
    (1.0, 0.0)
    """
    from scipy.special import bdtr

    if share == tolerance:
        return 0.0
    if tolerance == 1:
        return 1.0  # no share is above it
    # The counts whose interval lies on the right side are those up to, or from, one count on.
    few, many = (-1 if share < tolerance else 0), n + 1
    while many - few > 1:
        count = (few + many) // 2
        is_beyond = (
            bdtr(count, n, tolerance) <= LEVEL / 2
            if share < tolerance
            else bdtr(count - 1, n, tolerance) < 1 - LEVEL / 2
        )
        few, many = (count, many) if is_beyond else (few, count)
    if share < tolerance:
        return float(bdtr(few, n, share)) if few >= 0 else 0.0
    return 1.0 - float(bdtr(few, n, share)) if few < n else 0.0


def inputs_needed(
    share: float, tolerance: float, *, at_least: int = 1, power: float = POWER
) -> int | None:
    """How many inputs decide on `tolerance` in a share `power` of samples, with this true share.

    None where even 2⁴⁰ would not, because the share is the tolerance itself.
    """
    for exponent in range(0, 40 * STEPS + 1):
        n = round(2 ** (exponent / STEPS))
        if n >= at_least and decides(n, share, tolerance) >= power:
            return n
    return None


def wilson_interval(count: float, n: int, z: float = Z95) -> tuple[float, float]:
    """The Wilson score interval of a share, `count` of `n`; inside [0, 1] by its nature.

    It keeps close to its level where counts are small or zero, where the textbook interval
    (share ± 1.96 standard errors) has width zero. Wilson (1927), JASA 22, 209-212.

    >>> tuple(round(end, 4) for end in wilson_interval(0, 100))
    (0.0, 0.037)
    """
    share = count / n
    centre = share + z**2 / (2 * n)
    reach = z * sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    scale = 1 + z**2 / n
    low = 0.0 if count == 0 else max((centre - reach) / scale, 0.0)
    high = 1.0 if count == n else min((centre + reach) / scale, 1.0)
    return low, high


def paired_interval(positive: int, negative: int, n: int, z: float = Z95) -> tuple[float, float]:
    """The interval of a difference of two shares on the same N inputs, from what changed.

    Bonett and Price (2012), "Adjusted Wald confidence interval for a difference of binomial
    proportions based on paired data", J. Educ. Behav. Stat. 37, 479-488.
    """
    up, down = (positive + 1) / (n + 2), (negative + 1) / (n + 2)
    difference = up - down
    reach = z * sqrt((up + down - difference**2) / (n + 2))
    return max(difference - reach, -1.0), min(difference + reach, 1.0)


def mcnemar(negative: int, positive: int) -> float:
    """The exact two-sided p-value of equal accuracies, from the inputs on which they differ.

    >>> mcnemar(0, 5)
    0.0625
    """
    n, few = negative + positive, min(negative, positive)
    if not n:
        return 1.0
    from scipy.stats import binomtest

    return float(binomtest(few, n, 0.5).pvalue)
