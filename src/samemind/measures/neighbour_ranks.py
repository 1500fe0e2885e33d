"""Neighbourhood measures beside k-NN Jaccard: shared neighbours, their ranks, their cosines."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from samemind.lazy import torch
from samemind.measures.base import Floor, Invariance, Pair, measure
from samemind.measures.knn_jaccard import knn_jaccard
from samemind.measures.shuffling import GraphCounts, normal_floor, overlap_variance
from samemind.sides.entering import (
    Entered,
    influence_of_centring,
    influence_of_overlaps,
    lists_of,
    tied_boundary,
)
from samemind.sides.nearness import (
    cosines_at,
    cosines_with_all,
    has_few_ties,
    is_listed,
    nan_unless_both_vary,
    nearest_first,
    neighbour_lists,
)
from samemind.sides.neighbour_sets import tied_in_either
from samemind.sides.shared_ranks import AT_ONCE, common_ranks, common_ranks_without, most

if TYPE_CHECKING:
    from torch import Tensor

_INVARIANCES = {
    Invariance.UNIT_PERMUTATION,
    Invariance.ORTHOGONAL,
    Invariance.ISOTROPIC_SCALING,
    Invariance.TRANSLATION,
}
_AFTER = "after O(N² D) per model for all k"


def _shared(pair: Pair, *, k: int) -> Tensor:
    return pair.a.neighbours(k).shared_with(pair.b.neighbours(k)).double() / k


def _shared_influence(pair: Pair, *, k: int) -> Tensor:
    shared = _shared(pair, k=k)
    return influence_of_overlaps(pair, k, shared, torch.full_like(shared, 1 / k))


def _shared_floor(pair: Pair, *, k: int) -> Floor | None:
    if not has_few_ties(pair, k):
        return None
    # Shuffled, the k neighbours of an input are any k of the N - 1 others.
    counts = []
    for side in (pair.a, pair.b):
        sets = side.neighbours(k)
        incoming = sets.in_degrees()
        counts.append(GraphCounts(torch.full_like(incoming, k), incoming, sets.n_mutual()))
    variance = overlap_variance(*counts) / (pair.n_inputs * k) ** 2
    return normal_floor(k / (pair.n_inputs - 1), variance)


@measure(
    reads="representation",
    family="neighbours",
    bounds=(0.0, 1.0),
    identical=1.0,
    invariances=_INVARIANCES,
    reference="Huh et al. (2024), The Platonic Representation Hypothesis, arXiv:2405.07987",
    cost=f"O(N² / 8) bytes per pair and k, {_AFTER}; O(N k) for the error",
    per_input=_shared,
    influence=_shared_influence,
    floor=_shared_floor,
)
def mutual_knn(pair: Pair, *, k: int = 10) -> Tensor:
    r"""The mean share of the k nearest neighbours of an input in common, in [0, 1]; k = 10.

    $$\frac1N \sum_i \frac{|N_k^R(i) \cap N_k^S(i)|}{k}$$

    Neighbours are as in `knn_jaccard`, by cosine on centred columns; of one input with share m,
    the Jaccard index is m / (2 - m). The authors do not centre.

    >>> R = [[0.0, 1.0], [0.1, 1.2], [1.0, 0.0], [1.2, 0.1]]
    >>> mutual_knn.at(1)(R, [[0.0], [0.1], [1.0], [1.2]])
    1.0
    """
    return nan_unless_both_vary(pair, _shared(pair, k=k).mean())


def _rank_similarities(pair: Pair, *, k: int) -> Tensor:
    return pair.once(f"rank_similarity@{k}", lambda: _make_rank_similarities(pair, k))


def _make_rank_similarities(pair: Pair, k: int) -> Tensor:
    common = common_ranks(pair, k)
    return _of_most(pair, k, common.brought, common.number)


def _of_most(pair: Pair, k: int, brought: Tensor, number: Tensor) -> Tensor:
    return torch.where(number > 0, brought / most(pair.a, k, number), 0.0)


def _rank_influence(pair: Pair, *, k: int) -> Tensor | None:
    return _influence_of_ranks(pair, k, _rank_similarities(pair, k=k), is_joint=False)


def _joint_influence(pair: Pair, *, k: int) -> Tensor | None:
    return _influence_of_ranks(pair, k, _joint(pair, k=k), is_joint=True)


def _influence_of_ranks(pair: Pair, k: int, own: Tensor, *, is_joint: bool) -> Tensor | None:
    if not has_few_ties(pair, k):
        return None  # one input less would move all that share a rank
    entered, n = Entered(pair), pair.n_inputs
    first, second = (nearest_first(side, k).lists for side in (pair.a, pair.b))
    are_twice = is_listed(second, first)
    at_once = max(1, AT_ONCE // (2 * k * (k + 1)))
    for start in range(0, n, at_once):
        rows = slice(start, min(start + at_once, n))
        found = common_ranks_without(pair, k, rows)
        without = _of_most(pair, k, found.brought, found.number)
        if is_joint:
            without = without * found.number / (2 * k - found.number)
        lost = own[rows, None] - without
        lost[:, k:] = torch.where(are_twice[rows], 0.0, lost[:, k:])
        entered.add(found.lists, lost, rows)
    return entered.with_own(own)


@measure(
    reads="representation",
    family="neighbours",
    bounds=(0.0, 1.0),
    identical=1.0,
    invariances=_INVARIANCES,
    reference="Wang et al. (2020), Towards understanding the instability of network embedding",
    cost=f"O(N k (k + D)) per pair, {_AFTER}; O(N k²) for the error",
    per_input=_rank_similarities,
    influence=_rank_influence,
)
def rank_similarity(pair: Pair, *, k: int = 10) -> Tensor:
    r"""How alike common neighbours are ranked, near ones counting more, in [0, 1]; k = 10.

    $$\frac1N \sum_i \frac{1}{H_{m_i}} \sum_{j \in N_k^R(i) \cap N_k^S(i)}
    \frac{2}{(1 + |r_i(j) - s_i(j)|)\,(r_i(j) + s_i(j))}$$

    with ranks $r_i(j), s_i(j)$ from 1 for the nearest, $m_i$ the number of common neighbours and
    $H_m = \sum_{l \le m} 1/l$; an input without common neighbours adds 0. Neighbours are as in
    `knn_jaccard`; those that are equally near share their ranks (`sides/shared_ranks.py`).

    >>> R = [[0.0, 1.0], [0.1, 1.2], [1.0, 0.0], [1.2, 0.1]]
    >>> rank_similarity.at(2)(R, R)
    1.0
    """
    return nan_unless_both_vary(pair, _rank_similarities(pair, k=k).mean())


def _joint(pair: Pair, *, k: int) -> Tensor:
    assert knn_jaccard.per_input is not None
    return _rank_similarities(pair, k=k) * knn_jaccard.per_input(pair, k=k)


@measure(
    reads="representation",
    family="neighbours",
    bounds=(0.0, 1.0),
    identical=1.0,
    invariances=_INVARIANCES,
    reference="Wang et al. (2020), Towards understanding the instability of network embedding",
    cost=f"O(N k (k + D)) per pair, {_AFTER}; O(N k²) for the error",
    per_input=_joint,
    influence=_joint_influence,
)
def joint_rank_jaccard(pair: Pair, *, k: int = 10) -> Tensor:
    r"""Rank similarity times Jaccard index of the neighbours, per input, in [0, 1]; k = 10.

    $$\frac1N \sum_i \text{rank}_i \cdot \text{Jaccard}_i$$

    What `rank_similarity` leaves out, that few neighbours may be common, is in the second factor.

    >>> R = [[0.0, 1.0], [0.1, 1.2], [1.0, 0.0], [1.2, 0.1]]
    >>> joint_rank_jaccard.at(2)(R, R)
    1.0
    """
    return nan_unless_both_vary(pair, _joint(pair, k=k).mean())


class _SecondOrder(NamedTuple):
    """Per input: the cosine, and the sums of squares of either model's cosines, `(N,)`."""

    values: Tensor
    first: Tensor
    second: Tensor


def _second_order(pair: Pair, *, k: int) -> Tensor:
    return _parts_of_second_order(pair, k).values


def _parts_of_second_order(pair: Pair, k: int) -> _SecondOrder:
    return pair.once(f"second_order_cosine@{k}", lambda: _make_second_order(pair, k))


def _make_second_order(pair: Pair, k: int) -> _SecondOrder:
    first, second = neighbour_lists(pair.a, k), neighbour_lists(pair.b, k)
    union = torch.cat([first, second], dim=1)
    counts = torch.ones_like(union, dtype=torch.float64)
    counts[:, k:] = (~is_listed(second, first)).double()  # what is in both counts once
    a, b = cosines_at(pair.a, union), cosines_at(pair.b, union)
    dot, ones, others = (counts * a * b).sum(1), (counts * a * a).sum(1), (counts * b * b).sum(1)
    sets = pair.a.neighbours(k), pair.b.neighbours(k)
    for rows in tied_in_either(*sets):
        # Of those that share a place, the cosines with all are needed.
        a, b = (cosines_with_all(side, rows).double() for side in (pair.a, pair.b))
        parts = torch.maximum(sets[0].parts(rows), sets[1].parts(rows))
        dot[rows], ones[rows], others[rows] = (
            (parts * both).sum(1) for both in (a * b, a * a, b * b)
        )
    found = dot / (ones.sqrt() * others.sqrt())
    return _SecondOrder(found.clamp(-1, 1), ones, others)


def _second_order_influence(pair: Pair, *, k: int) -> Tensor:
    values, ones, others = (part[:, None] for part in _parts_of_second_order(pair, k))
    scale = 1 / (ones * others).sqrt()
    entered, (first, second) = Entered(pair), lists_of(pair, k)
    sets = pair.a.neighbours(k), pair.b.neighbours(k)

    def gain(a: Tensor, b: Tensor, rows: Tensor | slice = slice(None)) -> Tensor:
        lean = a * a / ones[rows] + b * b / others[rows]
        return scale[rows] * a * b - values[rows] * lean / 2

    is_whole = torch.ones_like(values)
    for rows in tied_in_either(*sets):
        is_whole[rows] = 0.0
        a, b = (cosines_with_all(side, rows).double() for side in (pair.a, pair.b))
        parts = [some.parts(rows) for some in sets]
        gains = gain(a, b, rows)
        brought = gains * torch.maximum(*parts)
        for some, part, other in zip(sets, parts, parts[::-1], strict=True):
            edge = tied_boundary(some, rows) * (part >= other)
            brought -= part * (edge * gains).sum(1, keepdim=True)
        entered.add_rows(rows, brought)
    at, limits = [], []
    moved = torch.zeros_like(values[:, 0])
    for found, is_new in ((first, torch.ones_like(first.are_common)), (second, ~second.are_common)):
        a, b = (cosines_at(side, found.lists) for side in (pair.a, pair.b))
        at.append(gain(a, b))
        slopes = is_new * is_whole
        moved += influence_of_centring(
            pair.a, found.lists, a, slopes * (scale * b - values * a / ones)
        )
        moved += influence_of_centring(
            pair.b, found.lists, b, slopes * (scale * a - values * b / others)
        )
        would_be_new = ~found.would_be_common
        next_gain = gain(*(cosines_at(side, found.next_ones) for side in (pair.a, pair.b)))
        limits.append(found.boundary(would_be_new * next_gain)[:, None])
    entered.add(first.lists, is_whole * (at[0] - limits[0] - first.are_common * limits[1]))
    entered.add(second.lists, is_whole * torch.where(second.are_common, 0.0, at[1] - limits[1]))
    return entered.with_own(values[:, 0] + moved)


@measure(
    reads="representation",
    family="neighbours",
    bounds=(-1.0, 1.0),
    identical=1.0,
    invariances=_INVARIANCES,
    reference="Hamilton, Leskovec and Jurafsky (2016), Cultural shift or linguistic drift?",
    cost=f"O(N k D) per pair, {_AFTER}",
    per_input=_second_order,
    influence=_second_order_influence,
)
def second_order_cosine(pair: Pair, *, k: int = 10) -> Tensor:
    r"""Cosine of two models' cosines with an input's neighbours in either, in [-1, 1]; k = 10.

    For the union $U_i$ of the k nearest neighbours of input i in both representations, the
    cosine of the vectors $(\cos(R_i, R_j))_{j \in U_i}$ and $(\cos(S_i, S_j))_{j \in U_i}$,
    averaged over i. Columns are centred; some software takes cosine *distances* instead.

    >>> R = [[0.0, 1.0], [0.1, 1.2], [1.0, 0.0], [1.2, 0.1]]
    >>> second_order_cosine.at(2)(R, [[3 * x, 3 * y] for x, y in R])
    1.0
    """
    return nan_unless_both_vary(pair, _second_order(pair, k=k).mean())
