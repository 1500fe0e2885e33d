"""Measures of topology, by persistent homology from the gudhi package (extra: topology)."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from math import inf
from typing import TYPE_CHECKING, Any

from samemind.errors import MissingExtra, UndefinedScore
from samemind.lazy import np, torch
from samemind.measures.base import Invariance, Pair, Side, measure

if TYPE_CHECKING:
    from torch import Tensor

_INVARIANCES = {
    Invariance.UNIT_PERMUTATION,
    Invariance.ORTHOGONAL,
    Invariance.ISOTROPIC_SCALING,
    Invariance.TRANSLATION,
}
#: How many numbers of holes the geometry score tells apart.
MOST_HOLES = 100


def _gudhi(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtra(
            "Measures of topology need gudhi, which is not installed. "
            "Install it with: pip install 'samemind[topology]'"
        ) from error


def _distances(rows: Tensor, others: Tensor) -> np.ndarray:
    """Euclidean distances `(A, B)` from differences, so that equal rows are at exactly zero."""
    return torch.cdist(rows, others, compute_mode="donot_use_mm_for_euclid_dist").cpu().numpy()


def _varies(pair: Pair) -> bool:
    return float(pair.a.norm) > 0 and float(pair.b.norm) > 0


#: Keys closer than this share of themselves are equal: rounding may not put inputs in order.
_DIGITS = 9


def _subsets(sides: Sequence[Side], count: int, repeats: int, random_seed: int) -> list[Tensor]:
    """Random subsets of so many inputs, whatever their order; all inputs, once, if not more."""
    n = sides[0].n_inputs
    if n <= count:
        return [torch.arange(n)]
    generator, order = torch.Generator().manual_seed(random_seed), _order(sides)
    return [order[torch.randperm(n, generator=generator)[:count]] for _ in range(repeats)]


def _order(sides: Sequence[Side]) -> Tensor:
    """An order of the inputs that they bring along, `(N,)`, so that a sample is of the same ones.

    By how far they lie from the mean, and then by how far from one another; the same for a rotated,
    moved or scaled copy, and whichever side comes first. Of equal ones, the first as given.
    """
    lengths = [side.unit_row_squares * side.n_inputs for side in sides]
    spreads = [side.gram_row_squares * side.n_inputs for side in sides]
    order = torch.arange(sides[0].n_inputs, device=sides[0].device)
    for keys in (spreads, lengths):
        key = torch.stack(keys).sum(0).mul(10**_DIGITS).round()
        order = order[key[order].argsort(stable=True)]
    return order.cpu()


# --- representation topology divergence -----------------------------------------------------


def _cross_barcode_length(first: np.ndarray, second: np.ndarray) -> float:
    """The total length of the bars of holes that close in the one and not in both."""
    rips = _gudhi("gudhi.sklearn.rips_persistence").RipsPersistence(
        homology_dimensions=1, input_type="full distance matrix", homology_coeff_field=2
    )
    together = np.block([[np.zeros_like(first), first], [first, np.minimum(first, second)]])
    np.fill_diagonal(together, 0)
    bars = rips.fit_transform([together])[0]
    return float((bars[:, 1] - bars[:, 0]).sum()) if len(bars) else 0.0


def _normalised_distances(rows: Tensor) -> np.ndarray:
    distances = _distances(rows, rows)
    scale = np.quantile(distances, 0.9)
    if scale == 0:
        raise UndefinedScore(
            "Nine in ten distances between inputs are zero, so there is no scale to measure "
            "holes by. Look for repeated inputs or a dead layer."
        )
    return distances / scale


def topology_divergences(
    pair: Pair, *, sample: int = 500, repeats: int = 10, random_seed: int = 0
) -> Tensor:
    """The representation topology divergence on each of several random subsets of the inputs.

    **Returns:** `(repeats,)` in float64, to see how far they spread; a single one, of all inputs,
    if there are no more than `sample`.
    """
    subsets = _subsets((pair.a, pair.b), sample, repeats, random_seed)
    found = []
    for subset in subsets:
        first, second = (
            _normalised_distances(side.factor[subset.to(side.device)].double())
            for side in (pair.a, pair.b)
        )
        both = _cross_barcode_length(first, second) + _cross_barcode_length(second, first)
        found.append(both / 2)
    return torch.tensor(found, dtype=torch.float64)


@measure(
    reads="representation",
    family="topology",
    bounds=(0.0, inf),
    identical=0.0,
    larger_is_more_similar=False,
    invariances=_INVARIANCES,
    reference="Barannikov et al. (2022), Representation topology divergence, arXiv:2201.00058",
    cost="persistent homology of 2 · sample points, twice per repeat; needs samemind[topology]",
    no_standard_error="bars of holes appear and vanish, so an input has no first-order share",
)
def representation_topology_divergence(
    pair: Pair, *, sample: int = 500, repeats: int = 10, random_seed: int = 0
) -> Tensor:
    r"""Representation topology divergence (RTD): holes of one model that the other fills.

    $$\tfrac12 \big( \ell(w_R, w_S) + \ell(w_S, w_R) \big), \qquad
    \ell(w, v) = \text{total length of the } H_1 \text{ bars of }
    \begin{pmatrix} 0 & w \\ w & \min(w, v) \end{pmatrix}$$

    with the Euclidean distances between inputs, divided by their 0.9 quantile. Up to `sample`
    inputs are all taken; of more, the mean over `repeats` random subsets (without replacement,
    from `random_seed`) is the score, and `topology_divergences` gives each of them.

    >>> R = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]
    >>> representation_topology_divergence(R, [[-y, x] for x, y in R])
    0.0
    """
    if not _varies(pair):
        return torch.tensor(torch.nan, dtype=torch.float64)
    return topology_divergences(
        pair, sample=sample, repeats=repeats, random_seed=random_seed
    ).mean()


# --- geometry score -------------------------------------------------------------------------


def _living_times(bars: np.ndarray, longest: float) -> np.ndarray:
    """For how much of the filtration, up to `longest`, there are 0, 1, 2, … holes, `(100,)`."""
    bars = np.minimum(bars, longest)
    changes = np.unique(np.concatenate([bars.ravel(), [0.0, longest]]))
    middles = (changes[1:] + changes[:-1]) / 2
    counts = ((bars[:, :1] <= middles) & (middles < bars[:, 1:])).sum(0)
    times = np.zeros(MOST_HOLES)
    is_counted = counts < MOST_HOLES
    np.add.at(times, counts[is_counted], np.diff(changes)[is_counted])
    return times / longest


def relative_living_times(
    side: Side, *, landmarks: int = 64, repeats: int = 100, random_seed: int = 0
) -> Tensor:
    """The relative living times of 0, 1, 2, … holes, for each random choice of landmarks.

    **Returns:** `(repeats, 100)` in float64; a single row if all inputs are landmarks.
    """
    gudhi = _gudhi("gudhi")
    n = side.n_inputs
    chosen = _subsets((side,), landmarks, repeats, random_seed)
    rows = side.factor.double()
    found = []
    for subset in chosen:
        distances = _distances(rows, rows[subset.to(rows.device)])
        # The fewer witnesses, the further they are from their landmarks.
        longest = float(distances.max()) / 128 * 5000 / n
        order = np.argsort(distances, axis=1, kind="stable")
        table = np.dstack([order, np.take_along_axis(distances, order, axis=1)])
        tree = gudhi.WitnessComplex(table).create_simplex_tree(
            max_alpha_square=longest, limit_dimension=2
        )
        tree.compute_persistence(homology_coeff_field=2)
        bars = np.asarray(tree.persistence_intervals_in_dimension(1)).reshape(-1, 2)
        found.append(torch.from_numpy(_living_times(bars, longest)))
    return torch.stack(found)


@measure(
    reads="representation",
    family="topology",
    bounds=(0.0, 2.0),
    identical=0.0,
    larger_is_more_similar=False,
    matches_inputs=False,
    invariances=_INVARIANCES,
    reference="Khrulkov and Oseledets (2018), Geometry score, arXiv:1802.02664",
    cost="O(N landmarks D) and a witness complex per model and repeat; needs samemind[topology]",
    no_standard_error="numbers of holes jump, so an input has no first-order share",
)
def geometry_score(
    pair: Pair, *, landmarks: int = 64, repeats: int = 100, random_seed: int = 0
) -> Tensor:
    r"""Squared difference of how long two models have 0, 1, 2, … holes, in [0, 2].

    $$\sum_{i < 100} \Big( \overline{\mathrm{RLT}}_R(i) - \overline{\mathrm{RLT}}_S(i) \Big)^2$$

    with the share of the filtration of a witness complex in which there are i holes, averaged
    over `repeats` random choices of landmarks (without replacement, from `random_seed`); up to
    `landmarks` inputs are all taken, once. Witnesses are allowed the largest distance from a
    landmark times 5000 / (128 N). `relative_living_times` gives each choice's.

    >>> R = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]
    >>> geometry_score(R, [[-y, x] for x, y in R])
    0.0
    """
    if not _varies(pair):
        return torch.tensor(torch.nan, dtype=torch.float64)
    first, second = (
        side.whole(
            f"living times@{landmarks},{repeats},{random_seed}",
            lambda s: relative_living_times(
                s, landmarks=landmarks, repeats=repeats, random_seed=random_seed
            ).mean(0),
        )
        for side in (pair.a, pair.b)
    )
    return (first - second).square().sum()
