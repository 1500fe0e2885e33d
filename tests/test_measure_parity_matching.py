"""Matches of units, aligned cosines and single statistics against independent implementations."""

from itertools import permutations

import numpy as np
import pytest
import scipy.linalg
import torch
from scipy.sparse.csgraph import laplacian
from scipy.spatial.distance import pdist
from sklearn.neighbors import kneighbors_graph

from samemind.errors import UndefinedScore
from samemind.measures import measure

torch.set_num_threads(1)

Pair = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def pair() -> Pair:
    """A shared latent, noise, offsets, and unequal widths: narrow enough to try all matches."""
    generator = np.random.default_rng(7)
    latent = generator.normal(size=(50, 4))
    return tuple(
        scale * (latent @ generator.normal(size=(4, width)) + generator.normal(size=(50, width)))
        + 2 * generator.normal(size=width)
        for width, scale in ((7, 1.0), (5, 3.0))
    )


def centred(values: np.ndarray) -> np.ndarray:
    return values - values.mean(0)


def unit(values: np.ndarray) -> np.ndarray:
    return centred(values) / np.linalg.norm(centred(values))


def is_close(name: str, pair: Pair, expected: float) -> None:
    found = measure(name)(*pair)
    assert found == pytest.approx(float(expected), rel=1e-8), name


def test_the_best_permutation_is_the_best_of_all_permutations(pair: Pair) -> None:
    for name, prepare in (
        ("permutation_procrustes_distance", unit),
        ("permutation_size_and_shape_distance", centred),
    ):
        first, second = (prepare(values) for values in pair)
        padded = np.pad(second, ((0, 0), (0, 2)))
        # The squared distance of every pair of columns, then every way of pairing them.
        squares = ((first[:, :, None] - padded[:, None, :]) ** 2).sum(0)
        least = min(squares[range(7), order].sum() for order in permutations(range(7)))
        is_close(name, pair, np.sqrt(least))
        is_close(name, pair[::-1], np.sqrt(least))
    d = measure("permutation_procrustes_distance")(*pair)
    is_close("angular_permutation_procrustes_distance", pair, np.arccos(1 - d**2 / 2))


def test_matches_by_correlation_are_the_best_of_all_matches(pair: Pair) -> None:
    first, second = pair
    correlations = np.corrcoef(first.T, second.T)[:7, 7:]
    best = max(
        np.mean([correlations[row, column] for column, row in enumerate(rows)])
        for rows in permutations(range(7), 5)
    )
    is_close("hard_correlation_match", pair, best)
    is_close("hard_correlation_match", pair[::-1], best)
    is_close("soft_correlation_match", pair, correlations.max(1).mean())
    is_close("soft_correlation_match", pair[::-1], correlations.max(0).mean())


def test_matches_of_more_units_than_inputs_are_of_the_units_as_given() -> None:
    generator = np.random.default_rng(3)
    first = generator.normal(size=(6, 9))
    shuffled = first[:, generator.permutation(9)]
    assert measure("permutation_procrustes_distance")(first, shuffled) == 0
    assert measure("hard_correlation_match")(first, shuffled) == pytest.approx(1, abs=1e-12)
    turned = first @ scipy.linalg.qr(generator.normal(size=(9, 9)))[0]
    assert measure("procrustes_distance")(first, turned) == pytest.approx(0, abs=1e-7)
    assert measure("permutation_procrustes_distance")(first, turned) > 0.3


def test_a_dead_unit_has_no_correlation_and_is_named(pair: Pair) -> None:
    first, second = pair[0].copy(), pair[1]
    first[:, 3] = 0.1
    for name in ("hard_correlation_match", "soft_correlation_match"):
        with pytest.raises(UndefinedScore, match=r"1 units of the first.*unit 3"):
            measure(name)(first, second)
        with pytest.raises(UndefinedScore, match=r"1 units of the second.*unit 3"):
            measure(name)(second.astype(np.float32), first.astype(np.float32))
    assert 0 < measure("permutation_procrustes_distance")(first, second) < 2


def test_aligned_cosine_agrees_with_scipys_rotation(pair: Pair) -> None:
    first, second = (unit(values) for values in pair)
    padded = np.pad(second, ((0, 0), (0, 2)))
    rotation, _ = scipy.linalg.orthogonal_procrustes(first, padded)
    turned = first @ rotation
    cosines = np.sum(turned * padded, 1) / np.linalg.norm(turned, axis=1)
    is_close("aligned_cosine", pair, np.mean(cosines / np.linalg.norm(padded, axis=1)))


def test_an_input_at_the_mean_points_nowhere() -> None:
    first = np.array([[-1.0, 0.5], [0.0, 0.0], [1.0, -0.5], [0.0, 0.0]])
    second = np.array([[0.0, 1.0], [2.0, 0.0], [1.0, 3.0], [0.5, 0.5]])
    with pytest.raises(UndefinedScore, match="input 1 is the mean"):
        measure("aligned_cosine")(first, second)


def test_differences_of_statistics_agree_with_their_formulas(pair: Pair) -> None:
    lengths = [np.linalg.norm(values.mean(0)) for values in pair]
    is_close("magnitude_difference", pair, abs(lengths[0] - lengths[1]))
    spreads, uniformities = [], []
    for values in pair:
        rows = values / np.linalg.norm(values, axis=1, keepdims=True)
        mean = values.mean(0) / np.linalg.norm(values.mean(0))
        spreads.append(np.mean(rows @ mean))
        uniformities.append(np.log(np.mean(np.exp(-2 * pdist(rows, "sqeuclidean")))))
    is_close("concentricity_difference", pair, abs(spreads[0] - spreads[1]))
    is_close("uniformity_difference", pair, abs(uniformities[0] - uniformities[1]))


def test_statistics_of_directions_need_directions(pair: Pair) -> None:
    first = pair[0].copy()
    first[9] = 0
    for name in ("concentricity_difference", "uniformity_difference"):
        with pytest.raises(UndefinedScore, match="input 9 is zero"):
            measure(name)(first, pair[1])
    opposite = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 2.0], [0.0, -2.0]])
    with pytest.raises(UndefinedScore, match="mean representation is zero"):
        measure("concentricity_difference")(opposite, opposite + 1)


@pytest.mark.parametrize("k", [5, 3])
def test_the_intrinsic_distance_agrees_with_matrix_exponentials(pair: Pair, k: int) -> None:
    laplacians = []
    for values in pair:
        graph = kneighbors_graph(values, k).toarray()
        laplacians.append(laplacian(np.maximum(graph, graph.T), normed=True))
    best = 0.0
    for t in np.logspace(-1, 1, 256)[100:156]:  # the weight decays on both sides of t = 1
        traces = [np.trace(scipy.linalg.expm(-t * matrix)) / 50 for matrix in laplacians]
        best = max(best, np.exp(-2 * (t + 1 / t)) * abs(traces[0] - traces[1]))
    is_close(f"intrinsic_multiscale_distance@{k}", pair, 1e6 * best)


def test_what_ignores_which_input_is_which_has_no_floor(pair: Pair) -> None:
    order = torch.from_numpy(np.random.default_rng(0).permutation(50))
    for name in (
        "magnitude_difference",
        "concentricity_difference",
        "uniformity_difference",
        "intrinsic_multiscale_distance",
    ):
        member = measure(name)
        compared = member.pair(*pair)
        before = member.score(compared)
        assert member.score(compared.permuted(order)) == pytest.approx(before, rel=1e-12)
        assert member.floor(compared) is None
        assert member.calibrated(compared) is None
