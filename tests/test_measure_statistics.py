"""Floors, standard errors and calibrated scores: against all orders, resampling, and a package."""

from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest
import torch
from torch import Tensor

from measure_examples import generator, pair_for, related, related_logits
from samemind.errors import InvalidInput, UndefinedScore
from samemind.measures import MEASURES, Measure, Pair, shuffling
from samemind.measures.shuffling import (
    GraphCounts,
    alignment_moments,
    expected_overlap_moments,
    overlap_variance,
)

torch.set_num_threads(1)


def arrays(member: Measure, n: int, seed: int = 0) -> list[Tensor]:
    if member.reads == "representation":
        return related(n, (5, 4), seed=seed)
    return related_logits(n, seed=seed)


def scores_of_all_orders(score: Callable[[Pair], float], pair: Pair) -> np.ndarray:
    orders = permutations(range(pair.n_inputs))
    return np.array([score(pair.permuted(torch.tensor(order))) for order in orders])


PAIRED = [
    "jensen_shannon_divergence",
    "jensen_shannon_similarity",
    "hellinger_distance",
    "total_variation_distance",
    "kullback_leibler_divergence",
    "surrogate_churn",
]


@pytest.mark.parametrize(
    "name", ["agreement", "jeffreys_divergence", "linear_cka", "debiased_linear_cka", *PAIRED]
)
def test_the_mean_of_a_closed_form_floor_is_that_of_all_orders(name: str) -> None:
    member = MEASURES[name]
    pair = pair_for(member, *arrays(member, 6))
    every = scores_of_all_orders(lambda p: float(member.raw(p)), pair)
    floor = member.floor(pair)
    assert floor is not None
    assert floor.is_closed_form
    assert floor.mean == pytest.approx(every.mean(), abs=1e-12)


def test_the_variance_of_shuffled_linear_cka_is_that_of_all_orders() -> None:
    member = MEASURES["linear_cka"]
    pair = pair_for(member, *arrays(member, 6))
    every = scores_of_all_orders(lambda p: float(member.raw(p)), pair)
    assert alignment_moments(pair.a, pair.b)[1] == pytest.approx(every.var(), rel=1e-9)


def test_the_variance_of_shuffled_debiased_cka_depends_on_the_number_of_inputs_only() -> None:
    member = MEASURES["debiased_linear_cka"]
    for seed in (1, 2):
        pair = pair_for(member, *arrays(member, 6, seed))
        every = scores_of_all_orders(lambda p: float(member.raw(p)), pair)
        assert every.var() == pytest.approx(2 / (6 * 3), rel=1e-9)


@pytest.mark.parametrize("name", PAIRED)
def test_a_floor_from_some_pairs_is_that_of_all_pairs_within_its_error(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = MEASURES[name]
    pair = pair_for(member, *arrays(member, 300))
    some = member.floor(pair)
    monkeypatch.setattr(shuffling, "ALL_PAIRS_UP_TO", 300)
    every = member.floor(pair)
    assert some is not None
    assert every is not None
    assert (some.n_pairs, every.n_pairs) == (2048 + 2 * 300, 90_000)
    assert every.is_closed_form
    assert not some.is_closed_form
    assert every.error == 0 < some.error < 0.1 * abs(every.mean - member.score(pair))
    assert abs(some.mean - every.mean) < 3 * some.error
    reach = [abs(floor.p95 - floor.mean) for floor in (some, every)]
    # What the mean is off by, half of a variance over shuffles, is in it.
    assert reach[0] == pytest.approx(1.5**0.5 * reach[1], rel=0.2)


@pytest.mark.parametrize(
    "name",
    [
        "procrustes_similarity",
        "procrustes_similarity_root",
        "procrustes_distance",
        "procrustes_distance_squared",
        "angular_procrustes_distance",
        "procrustes_disparity",
        "procrustes_size_and_shape_distance",
        "normalised_bures_similarity",
    ],
)
@pytest.mark.parametrize("widths", [(80, 66), (300, 90)])
def test_the_limit_of_the_procrustes_floor_is_that_of_shuffles(
    name: str, widths: tuple[int, int]
) -> None:
    member = MEASURES[name]
    first, second = related(280, widths)
    pair = member.pair(first, second)
    floor = member.floor(pair)
    assert floor is not None
    assert floor.is_limit
    shuffled = np.array(member.shuffled(pair, 20, random_seed=0))
    # Of the way from the score to the floor, not of the floor: distances have another zero.
    way = abs(member.score(pair) - shuffled.mean())
    assert floor.mean == pytest.approx(shuffled.mean(), abs=0.02 * way)
    sign = 1 if member.larger_is_more_similar else -1
    assert sign * floor.p95 > np.quantile(sign * shuffled, 0.95)
    assert abs(floor.p95 - floor.mean) < 0.1 * way


def test_of_two_spheres_in_all_dimensions_the_limit_is_one() -> None:
    # With as many directions as centred inputs and equal variances, any order is a rotation.
    basis = torch.linalg.qr(torch.randn(300, 300, generator=generator(3), dtype=torch.float64)).Q
    centred = torch.linalg.qr(basis - basis.mean(0)).Q[:, :299]
    member = MEASURES["procrustes_similarity"]
    pair = member.pair(centred, centred.flip(1))
    floor = member.floor(pair)
    assert floor is not None
    assert floor.is_limit
    assert floor.mean == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("name", ["agreement", "jeffreys_divergence", *PAIRED])
def test_the_95th_percentile_of_a_mean_is_its_deviation_over_all_orders(name: str) -> None:
    member = MEASURES[name]
    pair = pair_for(member, *arrays(member, 6))
    every = scores_of_all_orders(lambda p: float(member.raw(p)), pair)
    floor = member.floor(pair)
    assert floor is not None
    assert abs(floor.p95 - floor.mean) == pytest.approx(1.6448536 * every.std(), rel=1e-6)


def test_the_variance_of_an_overlap_of_graphs_is_that_of_all_relabellings() -> None:
    n = 6
    graphs = [torch.rand(n, n, generator=generator(seed)) < 0.4 for seed in (5, 6)]
    for graph in graphs:
        graph.fill_diagonal_(False)
    first, second = graphs
    overlaps = np.array(
        [
            int((first & second[list(order)][:, list(order)]).sum())
            for order in permutations(range(n))
        ]
    )
    counts = [GraphCounts(g.sum(1), g.sum(0), int((g & g.T).sum())) for g in graphs]
    assert overlap_variance(*counts) == pytest.approx(overlaps.var(), rel=1e-9)


def test_the_chances_of_an_overlap_of_random_subsets_are_those_of_scipy() -> None:
    from scipy.stats import hypergeom

    for n_others, k in ((9, 3), (9, 7), (9999, 500)):
        shared, chance = expected_overlap_moments(n_others, k)
        expected = hypergeom.pmf(shared.numpy(), n_others, k, k)
        np.testing.assert_allclose(chance.numpy(), expected, rtol=1e-7, atol=1e-300)


@pytest.mark.parametrize(
    "name",
    ["agreement", "jeffreys_divergence", "linear_cka", "debiased_linear_cka", "knn_jaccard@5"],
)
def test_a_closed_form_floor_is_that_of_a_thousand_shuffles(name: str) -> None:
    member = MEASURES[name]
    pair = pair_for(member, *arrays(member, 60))
    floor = member.floor(pair)
    assert floor is not None
    shuffled = np.array(member.shuffled(pair, 1000, random_seed=0))
    spread = shuffled.std()
    # A mean of 1000 is off by 0.03 deviations; a 5 % tail by about 0.07 of them, to which comes
    # that the gamma and the normal distribution are approximations.
    assert floor.mean == pytest.approx(shuffled.mean(), abs=0.12 * spread)
    tail = np.quantile(shuffled, 0.95 if member.larger_is_more_similar else 0.05)
    assert floor.p95 == pytest.approx(tail, abs=0.35 * spread)


def test_a_floor_by_shuffling_is_the_mean_and_tail_of_its_shuffles() -> None:
    member = MEASURES["procrustes_similarity"]
    pair = pair_for(member, *arrays(member, 40))
    floor = member.floor(pair, permutations=39, random_seed=3)
    assert floor is not None
    shuffled = sorted(member.shuffled(pair, 39, 3))
    assert floor.mean == pytest.approx(np.mean(shuffled))
    assert floor.p95 == shuffled[37]  # one more lies beyond the 38th of 39 with chance 2 in 40
    assert not floor.is_closed_form
    few = member.floor(pair, permutations=18, random_seed=3)
    assert few is not None
    assert np.isnan(few.p95)


@pytest.mark.parametrize("name", [m for m in MEASURES if MEASURES[m].identical is not None][:9])
def test_a_permuted_pair_shares_what_was_prepared_and_scores_as_one_made_anew(name: str) -> None:
    member = MEASURES[name]
    first, second = arrays(member, 40)
    order = torch.randperm(40, generator=generator(9))
    pair = pair_for(member, first, second)
    member.score(pair)
    again = pair_for(member, first, second[order])
    assert member.score(pair.permuted(order)) == pytest.approx(member.score(again), abs=1e-10)


def test_calibrated_scores_are_those_of_the_package_that_proposed_them() -> None:
    from calibrated_similarity import calibrate

    member = MEASURES["linear_cka"]
    for seed in range(3):
        first, second = related(60, (8, 6), seed=seed)
        second = second if seed else second[torch.randperm(60, generator=generator(2))]
        found = member.calibrated(first, second, permutations=99, random_seed=5, from_shuffles=True)
        assert found is not None
        shuffles = torch.Generator().manual_seed(5)
        theirs = calibrate(first, second, member, K=99, generator=shuffles)
        # The package works in float32.
        assert found.score == pytest.approx(float(theirs[0]), abs=1e-6)
        assert found.p_value == pytest.approx(float(theirs[1]), abs=1e-6)
        assert found.threshold == pytest.approx(float(theirs[2]), abs=1e-6)


def test_unrelated_models_calibrate_to_zero_and_identical_ones_to_one() -> None:
    for name in ("linear_cka", "jensen_shannon_divergence"):
        member = MEASURES[name]
        first, _ = arrays(member, 80)
        unrelated = first[torch.randperm(80, generator=generator(2))]
        same = member.calibrated(first, first, permutations=50, from_shuffles=True)
        apart = member.calibrated(first, unrelated, permutations=50, from_shuffles=True)
        assert same is not None
        assert apart is not None
        assert same.score == pytest.approx(1)
        assert same.p_value == pytest.approx(1 / 51)
        assert apart.score < 0.05
        assert apart.p_value > 0.05


@pytest.mark.parametrize("name", ["linear_cka", "debiased_linear_cka", "agreement", "knn_jaccard"])
def test_the_closed_form_calibrates_as_many_shuffles_do(name: str) -> None:
    member = MEASURES[name]
    p_values = []
    for seed in (0, 2, 3):
        first, second = arrays(member, 60, seed=seed)
        # Some correspond, others not.
        others = 8 + torch.randperm(52, generator=generator(3, seed))
        order = torch.cat([torch.arange(8), others])
        second = second[order]
        closed = member.calibrated(first, second)
        shuffled = member.calibrated(first, second, permutations=400, from_shuffles=True)
        assert closed is not None
        assert shuffled is not None
        assert (closed.permutations, shuffled.permutations) == (0, 400)
        step = 1 / 60 if name == "agreement" else 0.01  # agreement comes in steps of an input
        assert closed.threshold == pytest.approx(shuffled.threshold, abs=step + 0.01)
        p_values.append((closed.p_value, shuffled.p_value))
    for closed, shuffled in p_values:
        error = (max(shuffled, 1 / 401) / 401) ** 0.5
        assert abs(closed - shuffled) < 4 * error + (0.12 if name == "agreement" else 0.01)


def test_a_similarity_on_a_line_with_its_divergence_has_the_same_chance() -> None:
    first, second = related_logits(60, 5)
    second[8:] = second[8 + torch.randperm(52, generator=generator(3))]
    found = [
        MEASURES[name].calibrated(first, second, kind="logits")
        for name in ("jeffreys_divergence", "jeffreys_similarity")
    ]
    assert all(one.permutations == 0 for one in found)
    assert 1e-5 < found[0].p_value < 0.5
    assert found[1].p_value == pytest.approx(found[0].p_value, rel=1e-6)


def test_methods_take_two_arrays_as_a_measure_does() -> None:
    member = MEASURES["linear_cka"]
    first, second = arrays(member, 30)
    pair = member.pair(first, second)
    assert member.score(first, second) == member(first, second)
    assert member.floor(first, second) == member.floor(pair)
    assert member.standard_error(first, second) == member.standard_error(pair)
    assert member.interval(first, second) == member.interval(pair)
    assert torch.equal(member.contributions(first, second), member.contributions(pair))
    with pytest.raises(InvalidInput, match="compares two"):
        member.floor(first)


def test_what_is_given_beside_a_pair_is_not_passed_over_in_silence() -> None:
    member = MEASURES["linear_cka"]
    pair = member.pair(*arrays(member, 30))
    with pytest.raises(InvalidInput, match="beside it second"):
        member.floor(pair, 100)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidInput, match="beside it second"):
        member.interval(pair, 0.1)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidInput, match="beside it labels and permutation"):
        member.calibrated(pair, labels=[0] * 30, permutation=100)


def unrelated(member: Measure, n: int, seed: int, scale: float = 1.0) -> Pair:
    """Two models, one of which saw other inputs; one input of each is `scale` times as large."""
    first, second = (side.clone() for side in arrays(member, n, seed=5000 + seed))
    first[0] *= scale
    second[0] *= scale
    return pair_for(member, first, second[torch.randperm(n, generator=generator(11, seed))])


@pytest.mark.parametrize("scale", [10, 30])
@pytest.mark.parametrize("name", ["linear_cka", "debiased_linear_cka", "rv_coefficient"])
def test_with_one_input_of_large_norm_rows_are_shuffled(name: str, scale: float) -> None:
    member = MEASURES[name]
    plain, large = (unrelated(member, 100, 0, size) for size in (1.0, scale))
    floors = [member.floor(pair) for pair in (plain, large)]
    assert floors[0] is not None
    assert floors[1] is not None
    assert (floors[0].is_closed_form, floors[1].is_closed_form) == (True, False)
    beyond = np.array(member.shuffled(large, 400, random_seed=9)) > floors[1].p95
    # The threshold is that of 20 shuffles: one in 21 lies beyond it on average.
    assert beyond.mean() < 0.2


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, m in MEASURES.items() if m.matches_inputs])
def test_few_unrelated_pairs_lie_beyond_floor_p95(name: str) -> None:
    member = MEASURES[name]
    sign = 1 if member.larger_is_more_similar else -1
    beyond = []
    for seed in range(400):
        pair = unrelated(member, 24, seed)
        try:
            floor = member.floor(pair, permutations=19, random_seed=seed)
            if floor is not None and not floor.is_limit:
                beyond.append(sign * member.score(pair) > sign * floor.p95)
        except UndefinedScore:
            continue
    # 5 %, of 400 give or take 1.1; scores that come in steps lie at the threshold more often.
    if beyond:
        assert np.mean(beyond) < 0.05 + 3.5 * 0.011


def test_what_is_not_scored_of_identical_models_has_a_floor_too() -> None:
    member = MEASURES["chance_adjusted_probabilistic_agreement"]
    pair = pair_for(member, *arrays(member, 80))
    floor = member.floor(pair)
    assert floor is not None
    assert floor.mean < floor.p95 < member.score(pair)
    assert member.calibrated(pair) is None
