"""Top-k agreement: how many of their k likeliest classes two models have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samemind.errors import UndefinedScore
from samemind.lazy import torch
from samemind.measures.base import Floor, Invariance, Pair, Side, measure
from samemind.measures.shuffling import linear_statistic_variance, normal_floor

if TYPE_CHECKING:
    from torch import Tensor


def _make_members(side: Side, k: int) -> Tensor:
    # A stable sort: of equal logits, the lower class comes first.
    top = side.logits.sort(dim=1, descending=True, stable=True).indices[:, :k]
    return torch.zeros_like(side.logits, dtype=torch.bool).scatter_(1, top, True)


def _members(pair: Pair, k: int) -> tuple[Tensor, Tensor]:
    if k > pair.a.n_classes:
        raise UndefinedScore(
            f"The {k} likeliest classes were asked for, but there are {pair.a.n_classes}. "
            f"Choose a smaller k, as in 'top_k_agreement@2'."
        )
    first, second = (
        side.rows(f"top classes@{k}", lambda s: _make_members(s, k)) for side in (pair.a, pair.b)
    )
    return first, second


def _overlaps(pair: Pair, *, k: int) -> Tensor:
    first, second = _members(pair, k)
    return (first & second).sum(1).double() / k


def _floor(pair: Pair, *, k: int) -> Floor:
    # The score is a mean of c[i, σ(i)] with c the overlap of the top classes of any two inputs:
    # c = F Sᵀ / k, whose sum of squares centred both ways follows from two C × C products.
    first, second = (members.double() for members in _members(pair, k))
    mean = float(first.mean(0) @ second.mean(0)) / k
    first, second = first - first.mean(0), second - second.mean(0)
    squares = float(((first.T @ first) * (second.T @ second)).sum()) / k**2
    floor = normal_floor(mean, linear_statistic_variance(squares, pair.n_inputs))
    return Floor(mean=floor.mean, p95=min(floor.p95, 1.0), permutations=0, is_closed_form=True)


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
    reference="Fagin, Kumar and Sivakumar (2003), doi:10.1137/S0895480102412856",
    cost="O(N C) per pair, after one sort per model",
    per_input=_overlaps,
    floor=_floor,
)
def top_k_agreement(pair: Pair, *, k: int = 5) -> Tensor:
    r"""The share of their k likeliest classes that two models have in common, in [0, 1]; k = 5.

    $$\frac1N \sum_i \frac{|T_k(f(x_i)) \cap T_k(g(x_i))|}{k}$$

    Of equal logits the lower class comes first; k = 1 is `agreement`, and k = C is always 1.

    >>> top_k_agreement.at(2)([[3.0, 2.0, 1.0, 0.0]], [[0.0, 3.0, 2.0, 1.0]])
    0.5
    """
    return _overlaps(pair, k=k).mean()
