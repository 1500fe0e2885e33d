"""The Jeffreys divergence of two models' predictions: equation 2 of the paper as printed."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from samemind.lazy import LazyModule
from samemind.measures.base import Invariance, Pair, measure

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = LazyModule("torch")

#: Rows that are worked on at a time: a piece of 1,000 classes stays in the processor's cache.
ROWS_AT_ONCE = 128


def _divergences(pair: Pair) -> Tensor:
    return pair.once("jeffreys", lambda: _make_divergences(pair))


def _make_divergences(pair: Pair) -> Tensor:
    p, q = pair.a.probabilities, pair.b.probabilities
    log_p, log_q = pair.a.log_probabilities, pair.b.log_probabilities
    has_zeros = pair.a.has_impossible_classes or pair.b.has_impossible_classes
    divergences = torch.empty(pair.n_inputs, dtype=torch.float64, device=p.device)
    for start in range(0, pair.n_inputs, ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        ratio = log_p[rows] - log_q[rows]
        if has_zeros:  # a class that both find impossible adds nothing: -inf - -inf is NaN
            ratio = torch.where(log_p[rows] == log_q[rows], 0.0, ratio)
        divergences[rows] = torch.linalg.vecdot(p[rows] - q[rows], ratio).double() / 2
    return divergences.clamp_min(0)


@measure(
    reads="logits",
    family="soft predictions",
    bounds=(0.0, inf),
    identical=0.0,
    larger_is_more_similar=False,
    invariances={Invariance.INPUT_CONSTANT, Invariance.CLASS_PERMUTATION},
    reference="Jeffreys (1946), doi:10.1098/rspa.1946.0056",
    cost="O(N C) per pair, after one softmax per model",
    per_input=_divergences,
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
