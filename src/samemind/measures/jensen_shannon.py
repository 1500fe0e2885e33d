"""The Jensen-Shannon divergence of two models' predictions, and the similarity made from it."""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING

from samemind.measures.base import Invariance, Pair, measure
from samemind.sides import preprocessing

if TYPE_CHECKING:
    from torch import Tensor

_REFERENCE = "Lin (1991), doi:10.1109/18.61115; Klabunde et al. (2025), ACM CSUR 57(9)"
_INVARIANCES = {Invariance.INPUT_CONSTANT, Invariance.CLASS_PERMUTATION}
_COST = "O(N C) per pair, after one softmax per model"


def _divergences(pair: Pair) -> Tensor:
    return pair.once("jensen_shannon", lambda: _make_divergences(pair))


def _make_divergences(pair: Pair) -> Tensor:
    # H((p + q) / 2) - (H(p) + H(q)) / 2: the entropies of p and q are made once per model.
    entropy = preprocessing.entropies(pair.a.probabilities, pair.b.probabilities)
    return (entropy - (pair.a.entropies + pair.b.entropies) / 2).clamp(0, log(2))


def _similarities(pair: Pair) -> Tensor:
    return 1 - _divergences(pair) / log(2)


@measure(
    reads="logits",
    family="soft predictions",
    bounds=(0.0, log(2)),
    identical=0.0,
    larger_is_more_similar=False,
    invariances=_INVARIANCES,
    reference=_REFERENCE,
    cost=_COST,
    per_input=_divergences,
)
def jensen_shannon_divergence(pair: Pair) -> Tensor:
    r"""The mean Jensen-Shannon divergence of the predicted distributions in nats, in [0, ln 2].

    $$\frac1N \sum_i \tfrac12 KL(p_i \| m_i) + \tfrac12 KL(q_i \| m_i),
    \qquad m_i = \tfrac12 (p_i + q_i)$$

    Divide by ln 2 for bits. SciPy's `jensenshannon` is the root of the divergence of one input.

    >>> round(jensen_shannon_divergence([[0.0, float("-inf")]], [[float("-inf"), 0.0]]), 4)
    0.6931
    """
    return _divergences(pair).mean()


@measure(
    reads="logits",
    family="soft predictions",
    bounds=(0.0, 1.0),
    identical=1.0,
    invariances=_INVARIANCES,
    reference=_REFERENCE,
    cost=_COST,
    per_input=_similarities,
    sees="the whole predicted distribution over classes",
    cannot_see="what led there",
    label="JSDSim",
    usual=2,
)
def jensen_shannon_similarity(pair: Pair) -> Tensor:
    r"""One minus the mean Jensen-Shannon divergence in bits (JSDSim), in [0, 1].

    $$1 - \mathrm{JSD} / \ln 2$$

    >>> round(jensen_shannon_similarity([[0.0, 0.0]], [[0.0, float("-inf")]]), 4)
    0.6887
    """
    return _similarities(pair).mean()
