"""Agreement beyond chance: Cohen's kappa, error consistency and CAPA, (o - e) / (1 - e)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samemind.errors import UndefinedScore
from samemind.lazy import np, torch
from samemind.measures.base import Invariance, Pair, measure
from samemind.measures.intervals import (
    JOINT_PRIOR,
    Interval,
    counts_interval,
    drawn_shares,
    middle,
    score_interval,
)
from samemind.sides.correctness import checked_labels, correctness, joint_counts

if TYPE_CHECKING:
    from torch import Tensor

_OF_DECISIONS = {Invariance.INPUT_CONSTANT, Invariance.TEMPERATURE, Invariance.CLASS_PERMUTATION}
_GOEL = "Goel et al. (2025), Great models think alike and this undermines AI oversight"


def _beyond_chance(observed: Tensor, expected: Tensor, why: str) -> Tensor:
    if float(expected) > 1 - 1e-12:
        raise UndefinedScore(
            f"Agreement by chance alone is complete, because {why}. "
            f"Nothing is left to be beyond chance; use inputs on which the models vary."
        )
    return (observed - expected) / (1 - expected)


def _influence(observed: Tensor, expected: Tensor, of_expected: Tensor) -> Tensor:
    """Of (o - e) / (1 - e), from the observed values `(N,)`, e and the influence on e `(N,)`."""
    mean = observed.mean()
    left = 1 - expected
    return (observed - mean) / left - (1 - mean) / left**2 * of_expected


# --- Cohen's kappa --------------------------------------------------------------------------


def _class_shares(pair: Pair) -> tuple[Tensor, Tensor]:
    first, second = (
        torch.bincount(side.predictions, minlength=pair.a.n_classes).double() / pair.n_inputs
        for side in (pair.a, pair.b)
    )
    return first, second


def _matches(pair: Pair) -> Tensor:
    return (pair.a.predictions == pair.b.predictions).double()


def _kappa_influence(pair: Pair) -> Tensor:
    first, second = _class_shares(pair)
    expected = first @ second
    of_expected = second[pair.a.predictions] + first[pair.b.predictions] - 2 * expected
    return _influence(_matches(pair), expected, of_expected)


#: From this many inputs with equal and with unequal classes on, kappa's influences say enough.
_MANY = 50


def _kappa_interval(pair: Pair, *, score: float, error: float) -> Interval:
    matches = _matches(pair)
    n_same = float(matches.sum())
    if min(n_same, pair.n_inputs - n_same) >= _MANY:
        return score_interval(score, error, pair.n_inputs, (-1.0, 1.0))
    n_classes = pair.a.n_classes
    cells, counts = (pair.a.predictions * n_classes + pair.b.predictions).unique(return_counts=True)
    cells = cells.cpu().numpy()
    marginals = [side.cpu().numpy() for side in _class_shares(pair)]
    usual = sum(marginals) / 2
    # Beside the inputs seen, half of one with equal and half of one with unequal classes; which
    # ones they have, the inputs seen say.
    shares = drawn_shares(np.concatenate([counts.cpu().numpy(), [0.5, 0.5]]), prior=0.0)
    seen, equal, unequal = shares[:, :-2], shares[:, -2], shares[:, -1]
    extra = (equal + unequal)[:, None] * usual
    first, second = (
        seen @ np.eye(n_classes)[classes] + extra
        for classes in (cells // n_classes, cells % n_classes)
    )
    observed = seen @ (cells // n_classes == cells % n_classes) + equal
    expected = (first * second).sum(1)
    return middle((observed - expected) / (1 - expected))


@measure(
    reads="logits",
    family="hard predictions",
    bounds=(-1.0, 1.0),
    identical=1.0,
    invariances=_OF_DECISIONS,
    interval=_kappa_interval,
    reference="Cohen (1960), doi:10.1177/001316446002000104",
    cost="O(N + C) per pair, after one arg-max per model",
    influence=_kappa_influence,
)
def cohens_kappa(pair: Pair) -> Tensor:
    r"""Agreement beyond what the class frequencies of both models bring about, in [-1, 1].

    $$\frac{o - e}{1 - e}, \qquad e = \sum_c P(\hat y_1 = c)\, P(\hat y_2 = c)$$

    with $o$ the agreement. 0 is chance. Undefined if both models give one and the same class to
    all inputs.

    >>> cohens_kappa([[2.0, 1.0], [0.0, 3.0]], [[0.0, 1.0], [1.0, 0.0]])
    -1.0
    """
    first, second = _class_shares(pair)
    why = "both models give the same one class to all inputs"
    return _beyond_chance(_matches(pair).mean(), first @ second, why)


# --- error consistency ----------------------------------------------------------------------


def _consistency(pair: Pair) -> tuple[Tensor, Tensor]:
    first, second = correctness(pair)
    p, q = first.mean(), second.mean()
    return (first == second).double(), p * q + (1 - p) * (1 - q)


def _consistency_influence(pair: Pair) -> Tensor:
    observed, expected = _consistency(pair)
    first, second = correctness(pair)
    p, q = first.mean(), second.mean()
    of_expected = (2 * q - 1) * (first - p) + (2 * p - 1) * (second - q)
    return _influence(observed, expected, of_expected)


def _consistency_interval(pair: Pair, **_: float) -> Interval:
    def formula(shares: np.ndarray) -> np.ndarray:
        both, first, second = shares[:, 0], shares[:, 1], shares[:, 2]
        p, q = both + first, both + second
        expected = p * q + (1 - p) * (1 - q)
        return (1 - first - second - expected) / (1 - expected)

    counts = joint_counts(pair)
    return counts_interval(torch.cat([counts[:3], counts[3:].sum()[None]]), formula)


@measure(
    reads="logits",
    family="hard predictions",
    bounds=(-1.0, 1.0),
    identical=1.0,
    needs_labels=True,
    invariances=_OF_DECISIONS,
    interval=_consistency_interval,
    reference="Geirhos et al. (2020), Beyond accuracy: quantifying trial-by-trial behaviour",
    cost="O(N) per pair, after one arg-max per model",
    influence=_consistency_influence,
)
def error_consistency(pair: Pair) -> Tensor:
    r"""Whether two models err on the same inputs, beyond what their accuracies bring about.

    Cohen's kappa of being right: with accuracies $a_1, a_2$ and the share $o$ of inputs on which
    both are right or both wrong,

    $$\frac{o - e}{1 - e}, \qquad e = a_1 a_2 + (1 - a_1)(1 - a_2)$$

    in [-1, 1]. Undefined if both are always right, or both always wrong.

    >>> right, wrong = [1.0, 0.0], [0.0, 1.0]
    >>> error_consistency([right, wrong], [wrong, right], labels=[0, 0])
    -1.0
    """
    observed, expected = _consistency(pair)
    why = "both models are always right, or both always wrong"
    return _beyond_chance(observed.mean(), expected, why)


# --- chance-adjusted probabilistic agreement ------------------------------------------------


def _capa_parts(pair: Pair, p: Tensor, q: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The observed agreement `(N,)`, that by chance `()`, and the influence on the latter."""
    labels = checked_labels(pair)[:, None]
    if pair.a.n_classes < 2:
        raise UndefinedScore("With a single class all models agree. Give logits of two or more.")
    observed = torch.linalg.vecdot(p, q).double()
    first, second = p.gather(1, labels)[:, 0].double(), q.gather(1, labels)[:, 0].double()
    right, too = first.mean(), second.mean()
    of_wrong = 1 / (pair.a.n_classes - 1)
    expected = right * too + (1 - right) * (1 - too) * of_wrong
    of_expected = (too - (1 - too) * of_wrong) * (first - right)
    of_expected = of_expected + (right - (1 - right) * of_wrong) * (second - too)
    return observed, expected, of_expected


def _one_hot(predictions: Tensor, n_classes: int) -> Tensor:
    return torch.nn.functional.one_hot(predictions, n_classes).double()


def _soft_parts(pair: Pair) -> tuple[Tensor, Tensor, Tensor]:
    return _capa_parts(pair, pair.a.probabilities, pair.b.probabilities)


def _hard_parts(pair: Pair) -> tuple[Tensor, Tensor, Tensor]:
    n_classes = pair.a.n_classes
    first, second = (_one_hot(side.predictions, n_classes) for side in (pair.a, pair.b))
    return _capa_parts(pair, first, second)


_CERTAIN = "both models are certain of the correct class on every input"


@measure(
    reads="logits",
    family="soft predictions",
    bounds=(-1.0, 1.0),
    identical=None,
    needs_labels=True,
    invariances={Invariance.INPUT_CONSTANT, Invariance.CLASS_PERMUTATION},
    reference=_GOEL,
    cost="O(N C) per pair, after one softmax per model",
    influence=lambda pair: _influence(*_soft_parts(pair)),
)
def chance_adjusted_probabilistic_agreement(pair: Pair) -> Tensor:
    r"""CAPA: the chance that both models draw the same class, beyond what accuracy brings about.

    $$\kappa_p = \frac{o - e}{1 - e}, \quad
    o = \frac1N \sum_i \sum_c p_i(c)\, q_i(c), \quad
    e = \bar p \bar q + \frac{(1 - \bar p)(1 - \bar q)}{C - 1}$$

    with $\bar p, \bar q$ the mean probability of the correct class, in [-1, 1]. An uncertain
    model is not certain to agree with itself, so identical models score 1 only if they are
    certain; the form on decisions is `chance_adjusted_agreement`.

    >>> certain = [[9.0, float("-inf")], [float("-inf"), 9.0]]
    >>> chance_adjusted_probabilistic_agreement(certain, certain, labels=[1, 1])
    1.0
    """
    observed, expected, _ = _soft_parts(pair)
    return _beyond_chance(observed.mean(), expected, _CERTAIN)


def _adjusted_interval(pair: Pair, **_: float) -> Interval:
    def formula(shares: np.ndarray) -> np.ndarray:
        both, first, second, same = shares[:, 0], shares[:, 1], shares[:, 2], shares[:, 3]
        p, q = both + first, both + second
        expected = p * q + (1 - p) * (1 - q) / (pair.a.n_classes - 1)
        return (both + same - expected) / (1 - expected)

    return counts_interval(joint_counts(pair), formula, JOINT_PRIOR)


@measure(
    reads="logits",
    family="hard predictions",
    bounds=(-1.0, 1.0),
    identical=1.0,
    needs_labels=True,
    invariances=_OF_DECISIONS,
    interval=_adjusted_interval,
    reference=_GOEL,
    cost="O(N C) per pair, after one arg-max per model",
    influence=lambda pair: _influence(*_hard_parts(pair)),
)
def chance_adjusted_agreement(pair: Pair) -> Tensor:
    r"""Discrete CAPA: agreement beyond what the accuracies bring about, in [-1, 1].

    $$\frac{o - e}{1 - e}, \qquad e = a_1 a_2 + \frac{(1 - a_1)(1 - a_2)}{C - 1}$$

    with $o$ the agreement and $a_1, a_2$ the accuracies: errors of independent models fall evenly
    on the other classes. Undefined if both models are always right.

    >>> right, wrong = [1.0, 0.0], [0.0, 1.0]
    >>> chance_adjusted_agreement([right, wrong], [right, wrong], labels=[0, 0])
    1.0
    """
    observed, expected, _ = _hard_parts(pair)
    return _beyond_chance(observed.mean(), expected, _CERTAIN)
