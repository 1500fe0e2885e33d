"""Agreement: the share of inputs that two models put into the same class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samemind.lazy import torch
from samemind.measures.base import Floor, Invariance, Pair, measure
from samemind.measures.shuffling import linear_statistic_variance, normal_floor

if TYPE_CHECKING:
    from torch import Tensor


def _matches(pair: Pair) -> Tensor:
    return (pair.a.predictions == pair.b.predictions).double()


def _floor(pair: Pair) -> Floor:
    # With rows shuffled, the matches are a sum over i of c[i, σ(i)] with c[i, j] = 1 where
    # a_i = b_j. Its mean and variance follow from the counts of each class.
    n, n_classes = pair.n_inputs, pair.a.n_classes
    first, second = (
        torch.bincount(side.predictions, minlength=n_classes).double() for side in (pair.a, pair.b)
    )
    by_row, by_column = second / n, first / n  # the mean of c over j, and over i, by class
    mean = float((first * second).sum()) / n**2
    c = torch.eye(n_classes, dtype=torch.float64, device=first.device)
    centred = c - by_row[:, None] - by_column[None, :] + mean
    total = float((first[:, None] * second[None, :] * centred.square()).sum())
    return normal_floor(mean, linear_statistic_variance(total, n))


@measure(
    reads="logits",
    family="hard predictions",
    bounds=(0.0, 1.0),
    identical=1.0,
    invariances={
        Invariance.INPUT_CONSTANT,
        Invariance.TEMPERATURE,
        Invariance.CLASS_PERMUTATION,
    },
    reference="Klabunde et al. (2025), Similarity of neural network models, ACM CSUR 57(9)",
    cost="O(N) per pair, after one arg-max per model",
    per_input=_matches,
    floor=_floor,
    sees="whether both choose the same class",
    cannot_see="how sure they are; models that are right on the same inputs agree there whatever "
    "they do elsewhere",
    label="Agreement",
    usual=1,
)
def agreement(pair: Pair) -> Tensor:
    r"""The share of inputs to which both models give the same class, in [0, 1].

    $$\frac1N \sum_i \mathbf 1[\arg\max_c f_c(x_i) = \arg\max_c g_c(x_i)]$$

    Of equal logits the first counts. One minus it is the disagreement (churn).

    >>> agreement([[2.0, 1.0], [0.0, 3.0]], [[5.0, 0.0], [1.0, 0.0]])
    0.5
    """
    return _matches(pair).mean()
