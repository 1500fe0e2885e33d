"""What a measure says of itself and of a score: invariances, the floor, the calibrated score."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


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
    """

    mean: float
    p95: float
    permutations: int
    is_closed_form: bool
    is_limit: bool = False
    n_pairs: int = 0
    error: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """A score as a share of the way from chance to identity, with its p-value.

    0 up to the 95th percentile of the shuffled scores and the score itself (`threshold`), 1 for
    identical models.
    `p_value` is (1 + shuffles at least as alike) / (1 + shuffles).
    """

    score: float
    p_value: float
    threshold: float
    permutations: int
