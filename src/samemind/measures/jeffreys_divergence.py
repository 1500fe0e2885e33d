"""The Jeffreys divergence of two models' predictions: equation 2 of the paper as printed.

With it comes the similarity that the paper's scaling would make of it.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf, log
from typing import TYPE_CHECKING

from samemind.lazy import torch
from samemind.measures.base import Floor, Invariance, Pair, Side, measure
from samemind.measures.shuffling import linear_statistic_variance, normal_floor
from samemind.sides import preprocessing

if TYPE_CHECKING:
    from torch import Tensor


def _divergences(pair: Pair) -> Tensor:
    return pair.once("jeffreys", lambda: _make_divergences(pair))


def _make_divergences(pair: Pair) -> Tensor:
    p, q = pair.a.probabilities, pair.b.probabilities
    log_p, log_q = pair.a.log_probabilities, pair.b.log_probabilities
    has_zeros = pair.a.has_impossible_classes or pair.b.has_impossible_classes
    divergences = torch.empty(pair.n_inputs, dtype=torch.float64, device=p.device)
    n, n_classes = p.shape
    at_once = max(16, preprocessing.CACHED // n_classes) if p.device.type == "cpu" else n
    for start in range(0, n, at_once):
        rows = slice(start, start + at_once)
        ratio = log_p[rows] - log_q[rows]
        if has_zeros:  # a class that both find impossible adds nothing: -inf - -inf is NaN
            ratio = torch.where(log_p[rows] == log_q[rows], 0.0, ratio)
        divergences[rows] = torch.linalg.vecdot(p[rows] - q[rows], ratio).double() / 2
    return divergences.clamp_min(0)


class _Moments:
    """Means and centred products of the probabilities and their logarithms, of one model."""

    def __init__(self, side: Side) -> None:
        p, log_p = side.probabilities.double(), side.log_probabilities.double()
        self.own = float(torch.linalg.vecdot(p, log_p).mean())
        self.p, self.log_p = p.mean(0), log_p.mean(0)
        p, log_p = p - self.p, log_p - self.log_p
        self.pp, self.ll, self.pl = p.T @ p, log_p.T @ log_p, p.T @ log_p


def _floor(pair: Pair) -> Floor:
    if pair.a.has_impossible_classes or pair.b.has_impossible_classes:
        return normal_floor(inf, 0.0)
    # c[i, j] = (p_i - q_j)(log p_i - log q_j) / 2 splits into a part of i, a part of j and two
    # products, so its mean over all (i, j) and its variation follow from C x C moments.
    a, b = (side.whole("jeffreys_moments", _Moments) for side in (pair.a, pair.b))
    mean = (a.own + b.own - float(a.p @ b.log_p + a.log_p @ b.p)) / 2
    squares = (a.pp * b.ll).sum() + (a.ll * b.pp).sum() + 2 * (a.pl * b.pl.T).sum()
    variance = linear_statistic_variance(float(squares) / 4, pair.n_inputs)
    return normal_floor(mean, variance, larger_is_more_similar=False)


def _similarities(pair: Pair) -> Tensor:
    return 1 - _divergences(pair) / log(2)


def _floor_of_similarity(pair: Pair) -> Floor:
    found = _floor(pair)
    return replace(
        found,
        mean=1 - found.mean / log(2),
        p95=1 - found.p95 / log(2),
        deviation=found.deviation / log(2),
    )


_INVARIANCES = {Invariance.INPUT_CONSTANT, Invariance.CLASS_PERMUTATION}
_REFERENCE = "Jeffreys (1946), doi:10.1098/rspa.1946.0056"
_COST = "O(N C) per pair, after one softmax per model"


@measure(
    reads="logits",
    family="soft predictions",
    bounds=(0.0, inf),
    identical=0.0,
    larger_is_more_similar=False,
    invariances=_INVARIANCES,
    reference=_REFERENCE,
    cost=_COST,
    per_input=_divergences,
    floor=_floor,
    label="Jeffreys divergence",
)
def jeffreys_divergence(pair: Pair) -> Tensor:
    r"""The mean symmetrised Kullback-Leibler divergence in nats: half the sum of both directions.

    $$\frac1N \sum_i \tfrac12 KL(p_i \| q_i) + \tfrac12 KL(q_i \| p_i)$$

    This is equation 2 of the paper as printed. It has no upper bound, so it cannot be scaled to
    [0, 1]; the paper's figures show `jensen_shannon_similarity`. Jeffreys' own divergence is
    twice this. Where one model finds a class impossible that the other does not, it is infinite,
    and therefore no score.

    >>> round(jeffreys_divergence([[0.0, 1.0]], [[1.0, 0.0]]), 4)
    0.4621
    """
    return _divergences(pair).mean()


@measure(
    reads="logits",
    family="soft predictions",
    bounds=(-inf, 1.0),
    identical=1.0,
    invariances=_INVARIANCES,
    reference=_REFERENCE,
    cost=_COST,
    per_input=_similarities,
    floor=_floor_of_similarity,
    label="JSDSim (as printed)",
)
def jeffreys_similarity(pair: Pair) -> Tensor:
    r"""Equation 2 as printed, scaled as the paper scales it: at most 1, with no lower bound.

    $$1 - \frac{1}{\ln 2} \cdot \frac1N \sum_i \tfrac12 KL(p_i \| q_i) + \tfrac12 KL(q_i \| p_i)$$

    `jensen_shannon_similarity` is the one of the paper's figures, which lies in [0, 1]. Where one
    model finds a class impossible that the other does not, this has no value.

    >>> round(jeffreys_similarity([[0.0, 1.0]], [[1.0, 0.0]]), 4)
    0.3333
    """
    return _similarities(pair).mean()
