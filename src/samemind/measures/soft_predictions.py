"""Distances between predicted distributions, as means over the inputs."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING

from samemind.lazy import torch
from samemind.measures.base import Invariance, Pair, measure

if TYPE_CHECKING:
    from torch import Tensor

#: Rows that are worked on at a time: a piece of 1,000 classes stays in the processor's cache.
ROWS_AT_ONCE = 128

_INVARIANCES = {Invariance.INPUT_CONSTANT, Invariance.CLASS_PERMUTATION}
_COST = "O(N C) per pair, after one softmax per model"


def _by_rows(first: Tensor, second: Tensor, of: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    found = torch.empty(len(first), dtype=torch.float64, device=first.device)
    for start in range(0, len(first), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        found[rows] = of(first[rows], second[rows]).double()
    return found


def _variations(pair: Pair) -> Tensor:
    return pair.once(
        "total_variation",
        lambda: _by_rows(
            pair.a.probabilities, pair.b.probabilities, lambda p, q: (p - q).abs().sum(1) / 2
        ),
    )


@measure(
    reads="logits",
    family="soft predictions",
    bounds=(0.0, 1.0),
    identical=0.0,
    larger_is_more_similar=False,
    invariances=_INVARIANCES,
    reference="Levin, Peres and Wilmer (2009), Markov chains and mixing times, chapter 4",
    cost=_COST,
    per_input=_variations,
)
def total_variation_distance(pair: Pair) -> Tensor:
    r"""The mean total variation distance of the predicted distributions, in [0, 1].

    $$\frac1N \sum_i \tfrac12 \sum_c |p_i(c) - q_i(c)|$$

    >>> total_variation_distance([[0.0, 0.0]], [[0.0, float("-inf")]])
    0.5
    """
    return _variations(pair).mean()


def _hellinger(pair: Pair) -> Tensor:
    def distances(p: Tensor, q: Tensor) -> Tensor:
        # The roots' own differences: 1 minus their product would lose the digits of small ones.
        return ((p.sqrt() - q.sqrt()).square().sum(1) / 2).sqrt()

    return pair.once(
        "hellinger", lambda: _by_rows(pair.a.probabilities, pair.b.probabilities, distances)
    )


@measure(
    reads="logits",
    family="soft predictions",
    bounds=(0.0, 1.0),
    identical=0.0,
    larger_is_more_similar=False,
    invariances=_INVARIANCES,
    reference="Hellinger (1909), doi:10.1515/crll.1909.136.210",
    cost=_COST,
    per_input=_hellinger,
)
def hellinger_distance(pair: Pair) -> Tensor:
    r"""The mean Hellinger distance of the predicted distributions, in [0, 1].

    $$\frac1N \sum_i \Big( \tfrac12 \sum_c \big(\sqrt{p_i(c)} - \sqrt{q_i(c)}\big)^2 \Big)^{1/2}$$

    >>> round(hellinger_distance([[0.0, 0.0]], [[0.0, float("-inf")]]), 4)
    0.5412
    """
    return _hellinger(pair).mean()


def _divergences(pair: Pair) -> Tensor:
    def divergences(log_p: Tensor, log_q: Tensor) -> Tensor:
        # A class that the first finds impossible adds nothing, whatever the second says.
        terms = log_p.exp() * (log_p - log_q)
        return torch.where(torch.isneginf(log_p), 0.0, terms).sum(1).clamp_min(0)

    return pair.once(
        "kullback_leibler",
        lambda: _by_rows(pair.a.log_probabilities, pair.b.log_probabilities, divergences),
    )


@measure(
    reads="logits",
    family="soft predictions",
    bounds=(0.0, inf),
    identical=0.0,
    larger_is_more_similar=False,
    is_symmetric=False,
    invariances=_INVARIANCES,
    reference="Kullback and Leibler (1951), doi:10.1214/aoms/1177729694",
    cost=_COST,
    per_input=_divergences,
)
def kullback_leibler_divergence(pair: Pair) -> Tensor:
    r"""The mean Kullback-Leibler divergence of the second's predictions from the first's, in nats.

    $$\frac1N \sum_i \sum_c p_i(c) \ln \frac{p_i(c)}{q_i(c)}$$

    What is lost by taking the second model's predictions for the first's. It has no upper bound,
    and no value where the second finds a class impossible that the first does not.

    >>> round(kullback_leibler_divergence([[0.0, float("-inf")]], [[0.0, 0.0]]), 4)
    0.6931
    """
    return _divergences(pair).mean()


def _churn(pair: Pair, *, alpha: float) -> Tensor:
    def churn(p: Tensor, q: Tensor) -> Tensor:
        return ((alpha * p).exp() - (alpha * q).exp()).abs().sum(1) / 2

    # (p / max p)^α in logarithms, so that small probabilities survive a large exponent.
    first, second = (
        side.log_probabilities - side.log_probabilities.amax(1, keepdim=True)
        for side in (pair.a, pair.b)
    )
    return pair.once(f"surrogate_churn@{alpha}", lambda: _by_rows(first, second, churn))


@measure(
    reads="logits",
    family="soft predictions",
    bounds=(0.0, inf),
    identical=0.0,
    larger_is_more_similar=False,
    invariances=_INVARIANCES,
    reference="Bahri and Jiang (2021), Locally adaptive label smoothing for predictive churn",
    cost=_COST,
    per_input=_churn,
)
def surrogate_churn(pair: Pair, *, alpha: float = 1.0) -> Tensor:
    r"""Churn of the predictions scaled to a largest probability of one; alpha = 1.

    $$\frac1N \sum_i \frac12 \left\| \left(\frac{p_i}{\max p_i}\right)^\alpha
    - \left(\frac{q_i}{\max q_i}\right)^\alpha \right\|_1$$

    With growing alpha it becomes the disagreement. Its largest value is max(1, (C - 1) / 2).

    >>> surrogate_churn([[0.0, float("-inf")]], [[float("-inf"), 0.0]])
    1.0
    """
    return _churn(pair, alpha=alpha).mean()
