"""What a measure says of itself and of a score: invariances, the floor, the calibrated score."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import nan

#: Below this skewness a gamma distribution is the normal one.
NEARLY_NORMAL = 1e-3
SMALLEST_CHANCE = 1e-6


class Invariance(StrEnum):
    """Changes to either side of a pair that leave the score as it was."""

    UNIT_PERMUTATION = "permutation of units"
    ORTHOGONAL = "orthogonal transformation"
    ISOTROPIC_SCALING = "isotropic scaling"
    INVERTIBLE_LINEAR = "invertible linear transformation"
    TRANSLATION = "translation"
    INPUT_CONSTANT = "adding a constant to all logits of an input"
    TEMPERATURE = "dividing all logits by a temperature"
    CLASS_PERMUTATION = "the same permutation of classes on both sides"


@dataclass(frozen=True, kw_only=True)
class Floor:
    """What a measure gives when the rows of one side are shuffled, so that nothing corresponds.

    `p95` is the score that five in a hundred shuffles go beyond, towards "more alike". Where it
    comes from:

    - `permutations` shuffles; or
    - `is_closed_form`: the mean is exact over all shuffles, and `p95` follows from their variance
      by the gamma or normal distribution; or
    - `is_limit`: the mean is that in the limit of many units, right to half a hundredth where it
      is given, and `p95` follows from a bound on their variance, so it lies on the high side; or
    - `n_pairs` pairs of an input of the one side with any of the other, drawn at random: `error`
      is the standard error of the mean. With all pairs it is zero.

    `deviation` and `skewness` are those of the shuffled scores where they are known: of a normal
    distribution, or of a shifted gamma distribution.
    """

    mean: float
    p95: float
    permutations: int
    is_closed_form: bool
    is_limit: bool = False
    n_pairs: int = 0
    error: float = 0.0
    deviation: float = nan
    skewness: float = 0.0

    @property
    def has_tail(self) -> bool:
        """Whether the chance of any score is known."""
        return self.deviation > 0

    def chance_beyond(self, score: float, *, larger_is_more_similar: bool = True) -> float:
        """The chance that a shuffled score is at least as alike; NaN where it is not known.

        Never below one in a million: so far out no distribution is known to hold.
        """
        if not self.has_tail:
            return nan
        from scipy.special import gammaincc, ndtr  # scipy.stats takes seconds to import

        reach = (score - self.mean) / self.deviation * (1 if larger_is_more_similar else -1)
        if self.skewness <= NEARLY_NORMAL:
            return max(float(ndtr(-reach)), SMALLEST_CHANCE)
        shape = 4 / self.skewness**2
        return max(float(gammaincc(shape, max(shape + 2 * reach / self.skewness, 0.0))),
                   SMALLEST_CHANCE)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """A score as a share of the way from chance to identity, with its p-value.

    0 up to the 95th percentile of the shuffled scores (`threshold`), 1 for identical models. With
    `permutations` of 0 both are those of the closed form. Else the score itself counts among the
    shuffled ones, and `p_value` is (1 + shuffles at least as alike) / (1 + shuffles).
    """

    score: float
    p_value: float
    threshold: float
    permutations: int
