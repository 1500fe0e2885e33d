"""What happens to single inputs when one model takes the place of another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Any

from samemind.errors import InvalidInput
from samemind.lazy import LazyModule

if TYPE_CHECKING:
    import numpy as np
else:
    np = LazyModule("numpy")

LOST, WON = "right to wrong", "wrong to right"  # the directions of flips

#: The 97.5th percentile of the standard normal distribution: two-sided intervals of 95 %.
Z95 = 1.959963984540054


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
    - `negative_interval`: 95 % Wilson interval of the share of negative flips.
    - `gain`, `gain_interval`: accuracy of B minus that of A, with the 95 % interval of Bonett and
      Price (2012) for paired shares.
    - `p_value`: exact McNemar test of equal accuracies, two-sided.
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

    def answer(self, tolerance: float) -> str:
        """'yes', 'no' or 'undecided': is the share of negative flips at most `tolerance`?

        'yes' where the whole interval lies at or below it, 'no' where all of it lies above.
        """
        low, high = self.negative_interval
        if high <= tolerance:
            return "yes"
        return "no" if low > tolerance else "undecided"

    def inputs_needed(self, tolerance: float) -> int | None:
        """How many inputs would decide, if the share of negative flips stayed what it is.

        None where even many would not, because the share is the tolerance itself.
        """
        share = self.negative_share
        for exponent in range(12, 81):
            n = round(2 ** (exponent / 2))
            low, high = wilson_interval(share * n, n)
            if n >= self.n_inputs and (high <= tolerance or low > tolerance):
                return n
        return None

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
        negative_interval=wilson_interval(negative, n),
        gain=(positive - negative) / n,
        gain_interval=paired_interval(positive, negative, n),
        p_value=mcnemar(negative, positive),
        negative_inputs=tuple(int(i) for i in np.flatnonzero(lost)),
        positive_inputs=tuple(int(i) for i in np.flatnonzero(won)),
        per_class=tuple(sorted(per_class, key=lambda c: (-c.negative, -c.positive, c.label))),
    )


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
