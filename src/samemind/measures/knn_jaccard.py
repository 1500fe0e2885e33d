"""k-NN Jaccard: the share of nearest neighbours that two representations have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samemind.lazy import torch
from samemind.measures.base import Floor, Invariance, Pair, Side, measure
from samemind.measures.shuffling import (
    GraphCounts,
    expected_overlap_moments,
    normal_floor,
    overlap_variance,
)
from samemind.sides.entering import influence_of_overlaps
from samemind.sides.nearness import has_few_ties

if TYPE_CHECKING:
    from torch import Tensor


def _overlaps(pair: Pair, *, k: int) -> Tensor:
    shared = pair.a.neighbours(k).shared_with(pair.b.neighbours(k)).double()
    return shared / (2 * k - shared)


def _influence(pair: Pair, *, k: int) -> Tensor:
    overlaps = _overlaps(pair, k=k)
    # In terms of the index J, the number shared is 2 k J / (1 + J).
    slopes = (1 + overlaps).square() / (2 * k)
    return influence_of_overlaps(pair, k, overlaps, slopes)


def _counts(side: Side, k: int) -> GraphCounts:
    sets = side.neighbours(k)
    incoming = sets.in_degrees()
    return GraphCounts(torch.full_like(incoming, k), incoming, sets.n_mutual())


def _floor(pair: Pair, *, k: int) -> Floor | None:
    if not has_few_ties(pair, k):
        return None
    # Shuffled, the neighbours of an input are k of the N - 1 others at random. The mean over such
    # draws is exact; the variance is that of the number shared, times the slope of the index.
    shared, chance = expected_overlap_moments(pair.n_inputs - 1, k)
    index = shared / (2 * k - shared)
    mean, mean_shared = chance @ index, chance @ shared
    spread = chance @ (shared - mean_shared).square()
    slope = chance @ ((index - mean) * (shared - mean_shared)) / spread if spread > 0 else 0.0
    a, b = (
        side.whole(f"neighbour counts@{k}", lambda s: _counts(s, k)) for side in (pair.a, pair.b)
    )
    variance = float(slope) ** 2 * overlap_variance(a, b) / pair.n_inputs**2
    return normal_floor(float(mean), variance)


@measure(
    reads="representation",
    family="neighbours",
    bounds=(0.0, 1.0),
    identical=1.0,
    invariances={
        Invariance.UNIT_PERMUTATION,
        Invariance.ORTHOGONAL,
        Invariance.ISOTROPIC_SCALING,
        Invariance.TRANSLATION,
    },
    reference="Schumacher et al. (2021), The effects of randomness on node embeddings; "
    "Klabunde et al. (2025), ACM CSUR 57(9)",
    cost="O(N² / 8) bytes per pair and k, after O(N² D) per model for all k; O(N k) for the error",
    per_input=_overlaps,
    influence=_influence,
    floor=_floor,
    sees="whether the nearest neighbours of each input are the same",
    cannot_see="anything far away; the global arrangement",
    label="k-NN Jaccard (k = {k})",
    usual=6,
)
def knn_jaccard(pair: Pair, *, k: int = 10) -> Tensor:
    r"""Mean Jaccard index of the k nearest neighbours of each input, in [0, 1]; k = 10.

    $$\frac1N \sum_i \frac{|N_k^R(i) \cap N_k^S(i)|}{|N_k^R(i) \cup N_k^S(i)|}$$

    Neighbours are by cosine on centred columns. The input itself is left out by its index, so
    duplicate inputs are neighbours like any other. Where equal cosines meet at the k-th place,
    those that are tied share the places that are left: each is a neighbour in part, and what is in
    both sets is the lesser part, in either the greater. An input whose representation is the mean
    itself has cosine 0 with every other. The name `knn_jaccard@100` means k = 100.

    >>> R = [[0.0, 1.0], [0.1, 1.2], [1.0, 0.0], [1.2, 0.1]]
    >>> knn_jaccard.at(1)(R, [[0.0], [0.1], [1.0], [1.2]])
    1.0
    """
    representation_is_constant = (pair.a.norm == 0) | (pair.b.norm == 0)
    return torch.where(representation_is_constant, torch.nan, _overlaps(pair, k=k).mean())
