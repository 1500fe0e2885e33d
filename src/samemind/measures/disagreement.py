"""Disagreement: the share of inputs that two models put into different classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samemind.errors import UndefinedScore
from samemind.lazy import np
from samemind.measures.agreement import agreement
from samemind.measures.base import Floor, Invariance, Pair, measure
from samemind.measures.intervals import JOINT_PRIOR, Interval, counts_interval
from samemind.sides.correctness import correctness, error_rates, joint_counts

if TYPE_CHECKING:
    from torch import Tensor

_INVARIANCES = {Invariance.INPUT_CONSTANT, Invariance.TEMPERATURE, Invariance.CLASS_PERMUTATION}


def _differences(pair: Pair) -> Tensor:
    return (pair.a.predictions != pair.b.predictions).double()


def _floor(pair: Pair) -> Floor:
    assert agreement.closed_form_floor is not None
    floor = agreement.closed_form_floor(pair)
    assert floor is not None
    return Floor(mean=1 - floor.mean, p95=1 - floor.p95, permutations=0, is_closed_form=True)


@measure(
    reads="logits",
    family="hard predictions",
    bounds=(0.0, 1.0),
    identical=0.0,
    larger_is_more_similar=False,
    invariances=_INVARIANCES,
    reference="Milani Fard et al. (2016), Launch and iterate: reducing prediction churn",
    cost="O(N) per pair, after one arg-max per model",
    per_input=_differences,
    floor=_floor,
)
def disagreement(pair: Pair) -> Tensor:
    r"""The share of inputs to which the models give different classes (churn), in [0, 1].

    $$1 - \text{agreement}$$

    >>> disagreement([[2.0, 1.0], [0.0, 3.0]], [[5.0, 0.0], [1.0, 0.0]])
    0.5
    """
    return _differences(pair).mean()


def _range(pair: Pair) -> tuple[Tensor, Tensor]:
    """The least and the most disagreement that the two error rates allow."""
    first, second = error_rates(pair)
    return (first - second).abs(), (first + second).clamp_max(1)


def _normalised(pair: Pair) -> Tensor:
    low, high = _range(pair)
    if float(high - low) < 1e-12:
        raise UndefinedScore(
            "The error rates of the two models leave their disagreement no room: one of them "
            "is always right, or always wrong. Compare their accuracies instead."
        )
    return (_differences(pair).mean() - low) / (high - low)


def _influence(pair: Pair) -> Tensor:
    low, high = _range(pair)
    first, second = correctness(pair)
    more = first - second  # its mean is the second error rate minus the first
    of_low = more.mean().sign() * (more - more.mean())
    errors = 2 - first - second
    is_open = (errors.mean() < 1).double()
    of_high = is_open * (errors - errors.mean())
    differences = _differences(pair)
    score = _normalised(pair)
    change = differences - differences.mean() - of_low - score * (of_high - of_low)
    return change / (high - low)


def _interval(pair: Pair, **_: float) -> Interval:
    def formula(shares: np.ndarray) -> np.ndarray:
        both, first, second, same = shares[:, 0], shares[:, 1], shares[:, 2], shares[:, 3]
        errors = 1 - both - first, 1 - both - second
        low, high = np.abs(errors[0] - errors[1]), np.minimum(errors[0] + errors[1], 1)
        return (1 - both - same - low) / (high - low)

    return counts_interval(joint_counts(pair), formula, JOINT_PRIOR)


@measure(
    reads="logits",
    family="hard predictions",
    bounds=(0.0, 1.0),
    identical=0.0,
    larger_is_more_similar=False,
    needs_labels=True,
    invariances=_INVARIANCES,
    interval=_interval,
    reference="Klabunde et al. (2025), ACM CSUR 57(9), section 4.2",
    cost="O(N) per pair, after one arg-max per model",
    influence=_influence,
)
def normalised_disagreement(pair: Pair) -> Tensor:
    r"""Disagreement as a share of what the two error rates allow, in [0, 1].

    With error rates $e_1, e_2$, disagreement lies between $|e_1 - e_2|$ and
    $\min(e_1 + e_2, 1)$, and this is

    $$\frac{\text{disagreement} - |e_1 - e_2|}{\min(e_1 + e_2, 1) - |e_1 - e_2|}$$

    Undefined if one model is always right or always wrong.

    >>> right, wrong = [1.0, 0.0], [0.0, 1.0]
    >>> normalised_disagreement([right, wrong], [wrong, right], labels=[0, 0])
    1.0
    """
    return _normalised(pair)
