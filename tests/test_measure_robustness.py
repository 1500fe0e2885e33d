"""Right answers where packages go wrong: ties, duplicates, scales, offsets, zero probabilities."""

import json
from math import inf, isinf, log
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as numpy_arrays
from scipy.linalg import orthogonal_procrustes
from scipy.spatial.distance import jensenshannon
from scipy.special import rel_entr, softmax
from sklearn.neighbors import NearestNeighbors

from measure_examples import generator, labels, related, related_logits
from samemind.errors import InvalidInput, UndefinedScore
from samemind.measures import MEASURES, Measure, Pair, Side, measure
from samemind.sides import distances
from samemind.sides.neighbour_sets import NeighbourSets

torch.set_num_threads(1)

ON_REPRESENTATIONS = (
    "linear_cka",
    "debiased_linear_cka",
    "procrustes_similarity",
    "procrustes_similarity_root",
    "knn_jaccard@3",
)
few, many = settings(max_examples=40), settings(max_examples=200)


# --- independent implementations, written to be read, not to be fast


def slow_linear_cka(R: np.ndarray, S: np.ndarray) -> float:
    n = len(R)
    centring = np.eye(n) - 1 / n
    K, L = centring @ R @ R.T @ centring, centring @ S @ S.T @ centring
    return np.trace(K @ L) / np.sqrt(np.trace(K @ K) * np.trace(L @ L))


def hsic(K: np.ndarray, L: np.ndarray) -> float:
    """Song et al. (2012), equation 5, as printed."""
    n = len(K)
    K, L = K - np.diag(np.diag(K)), L - np.diag(np.diag(L))
    one = np.ones(n)
    total = np.trace(K @ L)
    total += (one @ K @ one) * (one @ L @ one) / ((n - 1) * (n - 2))
    total -= 2 / (n - 2) * (one @ K @ L @ one)
    return total / (n * (n - 3))


def slow_debiased_linear_cka(R: np.ndarray, S: np.ndarray) -> float:
    K, L = R @ R.T, S @ S.T
    return hsic(K, L) / np.sqrt(hsic(K, K) * hsic(L, L))


def slow_procrustes(R: np.ndarray, S: np.ndarray) -> float:
    R, S = R - R.mean(0), S - S.mean(0)
    R, S = R / np.linalg.norm(R), S / np.linalg.norm(S)
    width = max(R.shape[1], S.shape[1])
    R, S = (np.pad(m, ((0, 0), (0, width - m.shape[1]))) for m in (R, S))
    rotation, _ = orthogonal_procrustes(R, S)
    return 1 - np.linalg.norm(R @ rotation - S) ** 2 / 2


def slow_knn_jaccard(R: np.ndarray, S: np.ndarray, k: int) -> float:
    """Of each input the sum of the lesser parts over that of the greater; ties share places."""
    parts = []
    for matrix in (R - R.mean(0), S - S.mean(0)):
        lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
        directions = np.divide(matrix, lengths, out=np.zeros_like(matrix), where=lengths > 0)
        # Equal cosines must be equal numbers.
        cosines = np.round(directions @ directions.T, 9)
        np.fill_diagonal(cosines, -np.inf)
        last = -np.sort(-cosines, axis=1)[:, k - 1 : k]
        nearer, equal = cosines > last, cosines == last
        share = (k - nearer.sum(1, keepdims=True)) / equal.sum(1, keepdims=True)
        parts.append(nearer + share * equal)
    return float(np.mean(np.minimum(*parts).sum(1) / np.maximum(*parts).sum(1)))


SLOW = {
    "linear_cka": slow_linear_cka,
    "debiased_linear_cka": slow_debiased_linear_cka,
    "procrustes_similarity": slow_procrustes,
    "procrustes_similarity_root": lambda R, S: (
        1 - np.sqrt(max(2 - 2 * slow_procrustes(R, S), 0)) / 2
    ),
    "knn_jaccard@3": lambda R, S: slow_knn_jaccard(R, S, 3),
}


@st.composite
def matrices(draw: st.DrawFn, max_units: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Two representations of the same inputs, often with ties, duplicates and constant columns."""
    n = draw(st.integers(5, 12))
    values = st.sampled_from([-2.0, -1.0, 0.0, 0.0, 0.5, 1.0, 3.0])
    pair = [
        draw(numpy_arrays(np.float64, (n, draw(st.integers(1, max_units))), elements=values))
        for _ in range(2)
    ]
    return pair[0], pair[1]


def check_that_a_score_is_that_of_the_formula_as_printed(
    name: str, pair: tuple[np.ndarray, np.ndarray]
) -> None:
    R, S = pair
    assume(np.ptp(R, axis=0).any() and np.ptp(S, axis=0).any())
    try:
        found = measure(name)(R, S)
    except UndefinedScore:
        # Only the debiased estimator can be undefined here: when a norm is not positive.
        assert name == "debiased_linear_cka"
        assert min(hsic(R @ R.T, R @ R.T), hsic(S @ S.T, S @ S.T)) < 1e-9
        return
    if name == "debiased_linear_cka" and min(hsic(m @ m.T, m @ m.T) for m in (R, S)) < 1e-6:
        return  # a quotient of roundings
    # A root next to zero turns 1e-15 into 3e-8.
    assert found == pytest.approx(SLOW[name](R, S), abs=1e-7)


@pytest.mark.parametrize("name", ON_REPRESENTATIONS)
@few
@given(pair=matrices())
def test_a_score_is_that_of_the_formula_as_printed(name, pair):
    check_that_a_score_is_that_of_the_formula_as_printed(name, pair)


@pytest.mark.slow
@pytest.mark.parametrize("name", ON_REPRESENTATIONS)
@many
@given(pair=matrices())
def test_a_score_is_that_of_the_formula_as_printed_two_hundred_times(name, pair):
    check_that_a_score_is_that_of_the_formula_as_printed(name, pair)


def check_that_float32_of_any_scale_and_offset_scores_as_its_float64(
    name: str, exponent: float, offset: float, seed: int, width: int
) -> None:
    # Means up to a hundred deviations away from zero, at scales from 1e-4 to 1e4.
    first, second = related(40, (width, 12), seed=seed)
    R = ((first + offset) * 10**exponent).float()
    S = ((second - offset) * 10**-exponent).float()
    exact = measure(name)(R.double(), S.double())
    fast = Pair(*(Side(representation=m, precision=torch.float32) for m in (R, S)))
    assert measure(name).score(fast) == pytest.approx(exact, abs=1e-6)


@pytest.mark.parametrize("name", ON_REPRESENTATIONS)
@few
@given(
    exponent=st.floats(-4, 4),
    offset=st.floats(-100, 100),
    seed=st.integers(0, 10**6),
    width=st.integers(2, 30),
)
def test_float32_of_any_scale_and_offset_scores_as_its_float64(name, exponent, offset, seed, width):
    check_that_float32_of_any_scale_and_offset_scores_as_its_float64(
        name, exponent, offset, seed, width
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ON_REPRESENTATIONS)
@many
@given(
    exponent=st.floats(-4, 4),
    offset=st.floats(-100, 100),
    seed=st.integers(0, 10**6),
    width=st.integers(2, 30),
)
def test_float32_of_any_scale_and_offset_scores_as_its_float64_two_hundred_times(
    name, exponent, offset, seed, width
):
    check_that_float32_of_any_scale_and_offset_scores_as_its_float64(
        name, exponent, offset, seed, width
    )


@st.composite
def predictions(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    n, n_classes = draw(st.integers(1, 8)), draw(st.integers(2, 6))
    values = st.one_of(st.floats(-60, 60), st.sampled_from([0.0, 1.0]))
    pair = [draw(numpy_arrays(np.float64, (n, n_classes), elements=values)) for _ in range(2)]
    return pair[0], pair[1]


@many
@given(pair=predictions())
def test_measures_of_predictions_are_those_of_scipy(
    pair: tuple[np.ndarray, np.ndarray],
) -> None:
    p, q = (softmax(z, axis=1) for z in pair)
    # SciPy takes a root of what may be -1e-17, so its square is compared, with NaN for zero.
    with np.errstate(invalid="ignore"):
        jsd = np.nan_to_num(jensenshannon(p, q, axis=1) ** 2).mean()
    jeffreys = (rel_entr(p, q).sum(1) + rel_entr(q, p).sum(1)).mean() / 2
    assert measure("jensen_shannon_divergence")(*pair, kind="logits") == pytest.approx(
        jsd, abs=1e-9
    )
    assert measure("jensen_shannon_similarity")(*pair, kind="logits") == pytest.approx(
        1 - jsd / log(2), abs=1e-9
    )
    assert measure("jeffreys_divergence")(*pair, kind="logits") == pytest.approx(
        jeffreys, rel=1e-9, abs=1e-9
    )
    expected = (pair[0].argmax(1) == pair[1].argmax(1)).mean()
    assert measure("agreement")(*pair, kind="logits") == pytest.approx(expected)


@many
@given(pair=predictions(), shift=st.floats(-1e4, 1e4))
def test_float32_logits_with_an_offset_score_as_their_float64(
    pair: tuple[np.ndarray, np.ndarray], shift: float
) -> None:
    first, second = ((z + shift).astype(np.float32) for z in pair)
    sides = (Side(logits=z, precision=torch.float32, kind="logits") for z in (first, second))
    fast, doubles = Pair(*sides), (first.astype(np.float64), second.astype(np.float64))
    for name in ("agreement", "jensen_shannon_divergence", "jensen_shannon_similarity"):
        exact = measure(name)(*doubles, kind="logits")
        assert measure(name).score(fast) == pytest.approx(exact, abs=1e-6)
    exact = measure("jeffreys_divergence")(*doubles, kind="logits")
    # Unbounded: one part in a million, as for the others of what they can reach.
    assert measure("jeffreys_divergence").score(fast) == pytest.approx(exact, rel=1e-6, abs=1e-6)


# --- closed forms and traps, by name


def test_unrelated_representations_have_the_debiased_score_zero_and_the_biased_one_of_theory() -> (
    None
):
    g = generator(11)
    n, width = 600, 300
    R, S = (torch.randn(n, width, generator=g, dtype=torch.float64) for _ in range(2))
    assert measure("linear_cka")(R, S) == pytest.approx(width / (n + width), abs=0.01)
    assert measure("debiased_linear_cka")(R, S) == pytest.approx(0, abs=4 * 2**0.5 / n)


def test_orthogonal_units_have_nothing_in_common() -> None:
    basis = torch.linalg.qr(torch.randn(30, 8, generator=generator(1), dtype=torch.float64)).Q
    basis = torch.linalg.qr(basis - basis.mean(0)).Q
    for name in ("linear_cka", "procrustes_similarity"):
        assert measure(name)(basis[:, :4], basis[:, 4:]) == pytest.approx(0, abs=1e-12)


def test_zero_padding_changes_nothing() -> None:
    R, S = related(40, (5, 9))
    padded = torch.nn.functional.pad(R, (0, 20))
    for name in ON_REPRESENTATIONS:
        assert measure(name)(padded, S) == pytest.approx(measure(name)(R, S), abs=1e-10)


def test_constant_columns_change_nothing() -> None:
    R, S = related(40, (5, 9))
    with_dead_units = torch.cat([R, torch.full((40, 3), 7.3, dtype=torch.float64)], dim=1)
    for name in ON_REPRESENTATIONS:
        assert measure(name)(with_dead_units, S) == pytest.approx(measure(name)(R, S), abs=1e-12)


def test_one_unit_with_a_huge_mean_does_not_hide_the_others() -> None:
    R, S = (m.float() for m in related(40, (5, 9)))
    with_offset = torch.cat([R, torch.full((40, 1), 1e7)], dim=1)
    for name in ON_REPRESENTATIONS:
        assert measure(name)(with_offset, S) == pytest.approx(measure(name)(R, S), abs=1e-12)


def test_a_unit_that_varies_in_its_last_digit_only_counts_as_constant() -> None:
    _, S = related(40, (5, 9))
    last_digit = 1e4 + 1e-3 * (torch.arange(40)[:, None] % 2).float().repeat(1, 3)
    assert last_digit.unique().numel() == 2
    with pytest.raises(UndefinedScore, match="constant"):
        measure("linear_cka")(last_digit, S.float())


def test_fewer_inputs_than_units_score_as_the_formula_says() -> None:
    R, S = (m.numpy() for m in related(14, (60, 25)))
    for name in ON_REPRESENTATIONS:
        assert measure(name)(R, S) == pytest.approx(SLOW[name](R, S), abs=1e-9)


def test_duplicate_inputs_are_neighbours_and_the_input_itself_never_is() -> None:
    # Three copies of each of four inputs: with k = 2, the two others of each three.
    distinct = torch.tensor([[1.0, 0], [0, 1], [-1, 0], [0, -1]], dtype=torch.float64)
    R = distinct.repeat(3, 1)
    sets = Side(representation=R).neighbours(2)
    expected = [[j for j in range(12) if j % 4 == i % 4 and j != i] for i in range(12)]
    assert sets.lists.tolist() == expected


def test_equal_cosines_at_the_last_place_share_it_in_either_precision() -> None:
    R = torch.eye(8, dtype=torch.float64).repeat(4, 1)  # every other direction is equally far
    for precision in (torch.float32, torch.float64):
        side = Side(representation=R, precision=precision)
        sets = side.neighbours(5)
        parts = sets.parts(torch.arange(32))
        same = torch.arange(32) % 8 == (torch.arange(32) % 8)[:, None]
        expected = torch.where(same, 1.0, 2 / 28).double()
        torch.testing.assert_close(parts, expected.fill_diagonal_(0))
        assert side.tied_share(5) == 1
        assert sets.lists[0].tolist() == [-1, -1, 8, 16, 24]
        torch.testing.assert_close(parts.sum(1), torch.full((32,), 5.0, dtype=torch.float64))
        # With k = 3 the copies are all there is room for, and nothing is shared.
        assert side.tied_share(3) == 0


def test_sets_with_ties_share_the_same_as_bits_as_lists_and_in_another_order() -> None:
    g = generator(21)
    R, S = (torch.randn(70, 3, generator=g, dtype=torch.float64).sign() for _ in range(2))
    R[:20] = torch.randn(20, 3, generator=g, dtype=torch.float64)
    first, second = (Side(representation=values).neighbours(6) for values in (R, S))
    assert 0 < first.n_tied < 70
    every = torch.arange(70)
    parts = [sets.parts(every) for sets in (first, second)]
    expected = torch.minimum(*parts).sum(1)
    listed = [
        NeighbourSets(6, 70, given_lists=sets.lists, ties=sets.ties) for sets in (first, second)
    ]
    for one, other in ((first, second), (listed[0], listed[1]), (first, listed[1])):
        torch.testing.assert_close(one.shared_with(other), expected)
    order = torch.randperm(70, generator=g)
    permuted = second.permuted(order)
    torch.testing.assert_close(permuted.parts(every), parts[1][order][:, order])
    assert first.shared_with(permuted).sum() == pytest.approx(
        float(torch.minimum(parts[0], parts[1][order][:, order]).sum())
    )
    torch.testing.assert_close(first.in_degrees(), parts[0].sum(0))
    assert first.n_mutual() == pytest.approx(float((parts[0] * parts[0].T).sum()))


def test_neighbours_from_float32_products_are_those_of_float64() -> None:
    # Clusters of near copies: cosines that float32 cannot tell apart.
    g = generator(12)
    centres = torch.randn(10, 30, generator=g).repeat(80, 1)
    R = centres + 1e-4 * torch.randn(800, 30, generator=g)
    fast, exact = (Side(representation=R, precision=p) for p in (torch.float32, torch.float64))
    for k in (1, 10, 79, 200):
        assert torch.equal(fast.neighbours(k).lists, exact.neighbours(k).lists)


def test_neighbours_are_those_of_scikit_learn_for_all_counts_at_once() -> None:
    R = related(700, (12, 3))[0]
    centred = R - R.mean(0)
    nearest = NearestNeighbors(n_neighbors=101, metric="cosine", algorithm="brute")
    theirs = nearest.fit(centred.numpy()).kneighbors(return_distance=False)
    side = Side(representation=R)
    side.prepare_neighbours([10, 100])
    for k in (10, 100):
        expected = np.sort(theirs[:, :k], axis=1)
        assert (side.neighbours(k).lists.numpy() == expected).all()


def test_all_other_inputs_may_be_neighbours_and_more_are_refused() -> None:
    R, S = related(12)
    assert measure("knn_jaccard@11")(R, S) == 1
    with pytest.raises(UndefinedScore, match=r"12 neighbours were asked for.*12 inputs"):
        measure("knn_jaccard@12")(R, S)


def test_one_hot_predictions_with_impossible_classes() -> None:
    first = torch.tensor([[0.0, -inf, -inf], [-inf, 0, -inf]])
    second = torch.tensor([[0.0, -inf, -inf], [-inf, -inf, 0]])
    assert measure("jensen_shannon_divergence")(first, second) == pytest.approx(log(2) / 2)
    assert measure("jeffreys_divergence")(first, first) == 0
    with pytest.raises(UndefinedScore, match="probability zero"):
        measure("jeffreys_divergence")(first, second)
    assert measure("agreement")(first, second) == 0.5


def test_logits_without_any_possible_class_are_refused() -> None:
    first, second = related_logits()
    first[4] = -inf
    with pytest.raises(InvalidInput, match=r"not finite.*row 4"):
        measure("agreement")(first, second)


def test_different_numbers_of_classes_are_refused() -> None:
    first, second = related_logits()
    with pytest.raises(InvalidInput, match=r"the first model has \d and the second 4"):
        measure("agreement")(first, second[:, :4])


def test_a_side_needs_an_array_and_one_number_of_inputs() -> None:
    with pytest.raises(InvalidInput, match="neither a representation nor logits"):
        Side()
    with pytest.raises(InvalidInput, match="differ in their number of inputs"):
        Side(representation=torch.ones(3, 2), logits=torch.ones(4, 2))
    with pytest.raises(InvalidInput, match="only logits were given"):
        measure("linear_cka").score(Pair(*(Side(logits=torch.ones(3, 2)) for _ in range(2))))


def test_a_result_that_breaks_its_bounds_is_an_error_not_a_score() -> None:
    member = measure("linear_cka")
    pair = member.pair(*related())
    with pytest.raises(UndefinedScore, match="outside of its bounds"):
        member.checked(1.01, pair)
    assert member.checked(1 + 1e-9, pair) == 1


# --- large float32 arrays, and other people's numbers


#: Measures that hold a row and a column per input: so many inputs that these are in float32.
OF_PAIRS_OF_INPUTS = {
    name
    for name, member in MEASURES.items()
    if member.reads == "representation"
    and (member.family == "distance matrices" or name in ("rbf_cka", "laplace_cka"))
    and name != "gram_norm_difference"
}
#: Persistent homology and dense spectra of graphs: they work in float64 throughout.
OF_TOPOLOGY = {name for name, member in MEASURES.items() if member.family == "topology"}


def large_arrays(n: int) -> list[torch.Tensor]:
    g = generator(13)
    shared = torch.randn(n, 64, generator=g)
    arrays = []
    for width, scale, offset in ((512, 1e-4, 3e-2), (300, 1e4, -1e6)):
        noise = torch.randn(n, width, generator=g)
        R = torch.relu(shared @ torch.randn(64, width, generator=g) + noise)
        arrays.append(R * scale + offset)
    return arrays


def in_both_precisions(n: int) -> tuple[Pair, Pair]:
    arrays = large_arrays(n)
    fast, exact = (
        Pair(*(Side(representation=m, labels=labels(n), precision=p) for m in arrays))
        for p in (torch.float32, torch.float64)
    )
    return fast, exact


def assert_same(member: Measure, fast: float, exact: float) -> None:
    # One part in a million of the range; of what has no range, of the score.
    assert fast == pytest.approx(exact, rel=1e-6 if isinf(member.bounds[1]) else 0, abs=1e-6), (
        member.name
    )


@pytest.mark.slow
def test_float32_at_ten_thousand_inputs_scores_as_float64() -> None:
    fast, exact = in_both_precisions(10_000)
    names = {name for name, member in MEASURES.items() if member.reads == "representation"}
    names -= OF_PAIRS_OF_INPUTS | OF_TOPOLOGY
    assert len(names) >= 40
    for name in (*sorted(names), "knn_jaccard@500"):
        member = MEASURES[name]
        assert_same(member, member.score(fast), member.score(exact))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(OF_PAIRS_OF_INPUTS))
def test_float32_matrices_over_pairs_of_inputs_score_as_float64(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # At 4,500 inputs the matrices are in float32 already; their rounding averages out with more.
    member = MEASURES[name]
    fast, exact = in_both_precisions(4500)
    assert distances.empty_square(4500, fast.a.device).dtype == torch.float32
    found = member.score(fast)
    monkeypatch.setattr(distances, "IN_FLOAT64", 10_000)
    assert_same(member, found, member.score(exact))


@pytest.mark.slow
def test_float32_logits_at_ten_thousand_inputs_score_as_float64() -> None:
    g = generator(14)
    shared = 3 * torch.randn(10_000, 100, generator=g)
    logits = [100 + shared + 2 * torch.randn(10_000, 100, generator=g) for _ in range(2)]
    correct = shared.argmax(1)
    fast, exact = (
        Pair(*(Side(logits=z, labels=correct, precision=p) for z in logits))
        for p in (torch.float32, torch.float64)
    )
    for name, member in MEASURES.items():
        if member.reads == "logits":
            assert member.score(fast) == pytest.approx(member.score(exact), rel=1e-6, abs=1e-6), (
                name
            )


@pytest.mark.data
def test_real_networks_score_as_the_authors_code_and_other_packages_say(real_data: Path) -> None:
    arrays = np.load(real_data / "expected" / "similarity_inputs.npz")
    values = json.loads((real_data / "expected" / "similarity_values.json").read_text())
    models = sorted({pair[side] for pair in values["pairs"] for side in "ab"})
    sides = {
        name: Side(
            representation=arrays[f"rep_{name}"].astype(np.float64),
            logits=arrays[f"logits_{name}"].astype(np.float64),
        )
        for name in models
    }
    assert len(values["pairs"]) >= 10
    for expected in values["pairs"]:
        pair = Pair(sides[expected["a"]], sides[expected["b"]])
        authors, resi, netrep = expected["rob_univ"], expected["resi"], expected["netrep"]
        score = {name: measure(name).score(pair) for name in (*ON_REPRESENTATIONS, "knn_jaccard")}
        assert score["linear_cka"] == pytest.approx(authors["cka"], abs=1e-12)
        assert np.arccos(score["linear_cka"]) == pytest.approx(
            netrep["linear_cka_angular"], abs=1e-7
        )
        squared = 2 - 2 * score["procrustes_similarity"]
        assert squared == pytest.approx(authors["procrustes_squared"], abs=1e-12)
        distance = 2 - 2 * score["procrustes_similarity_root"]
        assert distance == pytest.approx(resi["procrustes_distance"], abs=1e-6)
        assert score["knn_jaccard"] == pytest.approx(resi["jaccard_k10_cosine_centered"], abs=1e-12)
        assert 1 - measure("agreement").score(pair) == pytest.approx(authors["disagreement"])
        divergence = measure("jensen_shannon_divergence").score(pair)
        assert divergence == pytest.approx(authors["jsd_nats"], abs=1e-12)
        assert divergence / log(2) == pytest.approx(resi["jsd_bits"], abs=1e-12)


@pytest.mark.data
def test_real_classifiers_on_ten_thousand_images_score_as_the_authors_code_says(
    real_data: Path,
) -> None:
    logits = np.load(real_data / "cifar-10-logits" / "cifar10-test-logits.npz")
    values = json.loads((real_data / "expected" / "logits_values.json").read_text())
    for expected in values["pairs"]:
        pair = Pair(*(Side(logits=logits[expected[side]]) for side in "ab"))
        authors = expected["rob_univ"]
        assert 1 - measure("agreement").score(pair) == pytest.approx(authors["disagreement"])
        divergence = measure("jensen_shannon_divergence").score(pair)
        assert divergence == pytest.approx(authors["jsd_nats"], abs=1e-9)
