"""What changes in being right when one model takes the place of another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samemind.errors import UndefinedScore
from samemind.measures.base import Invariance, Pair, measure
from samemind.measures.intervals import Interval
from samemind.sides.correctness import correctness
from samemind.statistics.swaps import paired_interval, wilson_interval

if TYPE_CHECKING:
    from torch import Tensor

_INVARIANCES = {Invariance.INPUT_CONSTANT, Invariance.TEMPERATURE, Invariance.CLASS_PERMUTATION}
_YAN = "Yan et al. (2021), Positive-congruent training: towards regression-free model updates"
_COST = "O(N) per pair, after one arg-max per model"


def _lost(pair: Pair) -> Tensor:
    first, second = correctness(pair)
    return first * (1 - second)


def _won(pair: Pair) -> Tensor:
    first, second = correctness(pair)
    return (1 - first) * second


@measure(
    reads="logits",
    family="hard predictions",
    bounds=(0.0, 1.0),
    identical=0.0,
    larger_is_more_similar=False,
    is_symmetric=False,
    needs_labels=True,
    invariances=_INVARIANCES,
    reference=_YAN,
    cost=_COST,
    per_input=_lost,
)
def negative_flips(pair: Pair) -> Tensor:
    r"""The share of inputs that the first model gets right and the second wrong, in [0, 1].

    What is lost when the second takes the place of the first. Minus `positive_flips` it is the
    first accuracy minus the second.

    >>> right, wrong = [1.0, 0.0], [0.0, 1.0]
    >>> negative_flips([right, right], [wrong, right], labels=[0, 0])
    0.5
    """
    return _lost(pair).mean()


@measure(
    reads="logits",
    family="hard predictions",
    bounds=(0.0, 1.0),
    identical=0.0,
    larger_is_more_similar=False,
    is_symmetric=False,
    needs_labels=True,
    invariances=_INVARIANCES,
    reference=_YAN,
    cost=_COST,
    per_input=_won,
)
def positive_flips(pair: Pair) -> Tensor:
    r"""The share of inputs that the first model gets wrong and the second right, in [0, 1].

    What is won when the second takes the place of the first.

    >>> right, wrong = [1.0, 0.0], [0.0, 1.0]
    >>> positive_flips([wrong, right], [right, right], labels=[0, 0])
    0.5
    """
    return _won(pair).mean()


def _signed_differences(pair: Pair) -> Tensor:
    first, second = correctness(pair)
    differences = first - second
    return differences if float(differences.mean()) >= 0 else -differences


def _difference_interval(pair: Pair, **_: float) -> Interval:
    won, lost = (int(part(pair).sum()) for part in (_won, _lost))
    low, high = paired_interval(won, lost, pair.n_inputs)
    near, far = sorted((abs(low), abs(high)))
    # Without its sign, a difference that may be of either sign may be 0.
    return (0.0 if low <= 0 <= high else near), far


@measure(
    reads="logits",
    family="hard predictions",
    bounds=(0.0, 1.0),
    identical=0.0,
    larger_is_more_similar=False,
    needs_labels=True,
    invariances=_INVARIANCES,
    is_without_sign=True,
    interval=_difference_interval,
    reference="Klabunde et al. (2025), ACM CSUR 57(9), section 4.1",
    cost=_COST,
    per_input=_signed_differences,
)
def accuracy_difference(pair: Pair) -> Tensor:
    r"""The difference of the two accuracies without its sign, in [0, 1].

    $$|a_1 - a_2|$$

    It bounds the agreement: models cannot agree on more than 1 minus this.

    >>> right, wrong = [1.0, 0.0], [0.0, 1.0]
    >>> accuracy_difference([right, right], [wrong, right], labels=[0, 0])
    0.5
    """
    return _signed_differences(pair).mean()


def _joint_errors(pair: Pair) -> tuple[Tensor, Tensor]:
    """Whether both are wrong, and whether they are wrong with the same class, `(N,)` each."""
    first, second = correctness(pair)
    both = (1 - first) * (1 - second)
    return both, both * (pair.a.predictions == pair.b.predictions)


def _error_influence(pair: Pair) -> Tensor:
    both, same = _joint_errors(pair)
    return (same - same.mean() / both.mean() * both) / both.mean()


def _error_interval(pair: Pair, **_: float) -> Interval:
    # The share of a count: what is wrong for one model only says nothing of it.
    both, same = _joint_errors(pair)
    return wilson_interval(float(same.sum()), int(both.sum()))


@measure(
    reads="logits",
    family="hard predictions",
    bounds=(0.0, 1.0),
    identical=1.0,
    needs_labels=True,
    invariances=_INVARIANCES,
    interval=_error_interval,
    reference="Mania et al. (2019), Model similarity mitigates test set overuse",
    cost=_COST,
    influence=_error_influence,
)
def error_agreement(pair: Pair) -> Tensor:
    r"""Of the inputs that both models get wrong, the share given the same class, in [0, 1].

    Errors that fall evenly on the other classes agree with chance 1 / (C - 1). Undefined where
    no input is wrong for both.

    >>> error_agreement([[0.0, 1.0, 0.0]], [[0.0, 0.0, 1.0]], labels=[0])
    0.0
    """
    both, same = _joint_errors(pair)
    if float(both.sum()) == 0:
        raise UndefinedScore(
            "No input is wrong for both models, so they have no errors to agree in. "
            "Use more inputs, or error_consistency."
        )
    return same.sum() / both.sum()
