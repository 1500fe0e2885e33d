"""Statistics and floors against other ways to the same number: definitions, enumeration, SciPy."""

from itertools import permutations
from math import inf, isnan, sqrt

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import expit

from samemind.errors import UnknownName
from samemind.measures import measure
from samemind.measures.base import MEASURES
from samemind.measures.intervals import score_interval, symmetric_interval
from samemind.measures.shuffling import (
    alignment_floor,
    alignment_moments,
    floors_of_alignments,
    skewed_floor,
)
from samemind.statistics import PairScores
from samemind.statistics.bounds import agreement_bounds
from samemind.statistics.contrasts import Contrast, contrast
from samemind.statistics.swaps import decides, exact_interval, inputs_needed, swap
from samemind.statistics.trends import (
    CONFIDENCE,
    TAIL_OF_LEVELS,
    Estimate,
    Interval,
    _as_level,
    beside,
    findable_change,
    trend,
)
from samemind.statistics.verdict import Evidence

RNG = np.random.default_rng(0)


def pair_scores(n_levels: int, n_units: int, scale: float = 0.1, seed: int = 0) -> PairScores:
    rng = np.random.default_rng(seed)
    scores = 0.5 + scale * rng.uniform(-1, 1, (n_levels, n_units, n_units))
    scores = (scores + scores.transpose(0, 2, 1)) / 2
    scores[:, np.arange(n_units), np.arange(n_units)] = np.nan
    return PairScores(scores, tuple(map(float, range(n_levels))), tuple(map(str, range(n_units))))


# -- swaps


@pytest.mark.parametrize("n", [1, 5, 23])
@pytest.mark.parametrize(("share", "tolerance"), [(0.0, 0.2), (0.1, 0.4), (0.7, 0.4), (1.0, 0.3),
                                                  (0.5, 0.5), (0.4, 1.0), (0.6, 0.05)])  # fmt: skip
def test_what_decides_is_the_chance_of_counts_whose_interval_does(n, share, tolerance) -> None:
    ends = [exact_interval(count, n) for count in range(n + 1)]
    if share == tolerance:
        right = [False for _ in ends]
    elif tolerance == 1:
        right = [True for _ in ends]
    else:
        right = [high <= tolerance if share < tolerance else low > tolerance for low, high in ends]
    truth = sum(stats.binom.pmf(c, n, share) for c in range(n + 1) if right[c])
    assert decides(n, share, tolerance) == pytest.approx(truth, abs=1e-12)


def test_the_ends_of_an_exact_interval_are_where_a_count_would_be_rare() -> None:
    low, high = exact_interval(3, 17)
    assert stats.binom.sf(2, 17, low) == pytest.approx(0.025)
    assert stats.binom.cdf(3, 17, high) == pytest.approx(0.025)


def test_classes_stand_in_the_order_of_what_they_lose_then_win_then_are() -> None:
    truth = np.array([0, 0, 1, 1, 2, 2, 3, 3, 4])
    right_a = np.array([1, 0, 1, 1, 1, 0, 1, 0, 0], bool)
    right_b = np.array([0, 0, 0, 0, 0, 1, 0, 1, 1], bool)
    found = swap(np.where(right_a, truth, 9), np.where(right_b, truth, 9), truth)
    assert [c.label for c in found.per_class] == [1, 2, 3, 0, 4]
    assert [(c.negative, c.positive) for c in found.per_class] == [
        (2, 0), (1, 1), (1, 1), (1, 0), (0, 1),
    ]  # fmt: skip


def test_as_many_inputs_as_are_needed_are_needed() -> None:
    n = inputs_needed(0.02, 0.05)
    assert n is not None
    assert decides(n, 0.02, 0.05) >= 0.8
    assert max(decides(k, 0.02, 0.05) for k in range(n // 2, n // 2 + 40)) < 0.8
    assert inputs_needed(0.05, 0.05) is None
    assert inputs_needed(0.0, 0.5, at_least=1000) >= 1000  # pyright: ignore[reportOptionalOperand]


# -- trends


@pytest.mark.parametrize(("n", "n_measures"), [(4, 1), (4, 3), (7, 1), (15, 5)])
def test_a_findable_change_is_found_with_its_power(n: int, n_measures: int) -> None:
    change = findable_change(n, n_measures)
    critical = stats.t.ppf(1 - 0.025 / n_measures, n - 1)
    assert stats.nct.sf(critical, n - 1, change * sqrt(n)) == pytest.approx(0.8, abs=1e-5)


@pytest.mark.parametrize("skewness", [0.0, 0.8, -1.7])
@pytest.mark.parametrize("value", [0.3, -0.3, 0.02])
def test_a_p_value_is_the_level_at_which_the_interval_ends_at_zero(value, skewness) -> None:
    found = Estimate(value, 0.1, skewness, 6)
    p = found.p_value()
    t = stats.t.isf(p / 2, 5)
    tail = max((-1 if value > 0 else 1) * skewness, 0.0) / (6 * sqrt(6))
    assert (t + tail * (1 + 2 * t * t)) * 0.1 == pytest.approx(abs(value), rel=1e-9)
    ends = found.interval()
    assert (p < 1 - CONFIDENCE) == (ends.lower > 0 or ends.upper < 0)
    assert Estimate(0.0, 0.1, skewness, 6).p_value() == 1.0
    assert Estimate(value, 0.0, skewness, 6).p_value() == 0.0
    assert isnan(Estimate(value, float("nan"), skewness, 6).p_value())
    # What skewness would take off at no distance at all leaves no more than certainty.
    assert Estimate(1e-12, 0.1, -5.0 * np.sign(value), 6).p_value() <= 1.0


def test_a_level_is_wider_of_the_plain_and_the_logistic_interval() -> None:
    for value, error in ((0.5, 0.02), (0.97, 0.02), (0.03, 0.02), (0.9, 0.3), (0.001, 0.4)):
        pairs = pair_scores(1, 5)
        found = Estimate(value, error, -0.5, 5)
        ends = _as_level(found, pairs)
        low, high = Estimate(value, error, -0.5, 5, TAIL_OF_LEVELS).reaches()
        slope = 1 / (value * (1 - value))
        odds = np.log(value) - np.log1p(-value)
        lower = max(0.0, min(value - low, expit(odds - low * slope)))
        upper = min(1.0, max(value + high, expit(odds + high * slope)))
        assert ends == pytest.approx(Interval(value, lower, upper), abs=1e-12)
    outside = PairScores(pair_scores(1, 5).scores + 1, (0.0,), tuple("abcde"))
    beyond = _as_level(Estimate(0.9, 0.3, 0.0, 5), outside)
    assert beyond.upper > 1


def test_a_covariate_is_that_of_the_regression_with_a_constant_for_each_level() -> None:
    pairs, covariate = pair_scores(3, 6), pair_scores(3, 6, 2.0, seed=1)
    pairs.scores[1, 0, 3] = pairs.scores[1, 3, 0] = np.nan
    change, slope = beside(pairs, covariate)

    def regression(scores: np.ndarray, values: np.ndarray) -> tuple[float, float]:
        level, i, j = np.nonzero(np.isfinite(scores))
        x = values[level, i, j]
        design = np.column_stack([level == at for at in range(3)] + [x]).astype(float)
        found = np.linalg.lstsq(design, scores[level, i, j], rcond=None)[0]
        centre = np.mean([x[level == at].mean() for at in range(3)])
        means = found[:3] + found[3] * centre
        return float(means[2] - means[0]), float(found[3])

    assert (change.value, slope.value) == pytest.approx(regression(pairs.scores, covariate.scores))
    without = [
        regression(*(np.delete(np.delete(m, i, 1), i, 2) for m in (pairs.scores, covariate.scores)))
        for i in range(6)
    ]
    errors = np.sqrt(5 * np.var(without, axis=0))
    assert (change.standard_error, slope.standard_error) == pytest.approx(tuple(errors))


def test_a_covariate_that_is_the_same_for_all_pairs_of_a_level_says_nothing() -> None:
    pairs = pair_scores(3, 6)
    for constants in ((0.1, 0.3, 0.7), (0.0, 0.0, 0.0), (1e9 / 3, 0.1, 1e-9)):
        same = np.broadcast_to(np.array(constants)[:, None, None], pairs.scores.shape)
        found = beside(pairs, PairScores(same.copy(), pairs.levels, pairs.units))
        assert all(isnan(f.value) for f in found)


# -- bounds, contrasts, verdict


def test_bounds_of_models_that_are_always_right() -> None:
    found = agreement_bounds(0.6, 1.0, 5)
    assert found.hard == pytest.approx((0.6, 0.6))
    assert found.fort == pytest.approx((0.6, 0.6))
    assert agreement_bounds(0.0, 0.0).hard == (0.0, 1.0)


def test_a_contrast_is_alike_only_if_both_ends_are_small() -> None:
    def of(low: float, high: float) -> str:
        ends = Interval(0.0, low, high)
        return Contrast(
            measure="m", change=ends, level=ends, p_change=0.5, p_level=0.5, smallest=0.1,
            units=("a",), epsilon=0.0,
        ).answer("change")  # fmt: skip

    assert of(-0.05, 0.05) == "alike"
    assert of(-0.5, 0.05) == of(-0.05, 0.5) == of(-0.1, 0.05) == of(-0.05, 0.1) == "unclear"


def test_four_units_suffice_for_a_contrast_and_three_do_not() -> None:
    for n, suffices in ((4, True), (3, False)):
        (found,) = contrast([("m", pair_scores(2, n), pair_scores(2, n, seed=1), 1.0)])
        assert isnan(found.level.lower) != suffices
        assert isnan(found.p_change) != suffices


def test_flat_is_what_lies_below_the_smallest_change_and_not_at_it() -> None:
    made = trend(pair_scores(2, 6))

    def direction(low: float, high: float, p: float = 0.5) -> str:
        from dataclasses import replace

        return Evidence(
            measure="m", trend=replace(made, change=Interval((low + high) / 2, low, high)),
            floor=0.0, ceiling=1.0, is_ceiling_measured=True, p_value=p,
        ).direction  # fmt: skip

    smallest = Evidence(
        measure="m", trend=made, floor=0.0, ceiling=1.0, is_ceiling_measured=True, p_value=0.5
    ).smallest_change
    inside = smallest * 0.999
    assert direction(-inside, inside) == "flat"
    assert direction(-smallest, inside) == direction(-inside, smallest) == "unclear"
    assert direction(0.001, inside, 0.01) == "slightly up"
    assert direction(smallest, smallest, 0.01) == "up"
    assert direction(-smallest, -smallest, 0.01) == "down"


# -- intervals


@pytest.mark.parametrize("n", [5, 40])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.95])
def test_an_interval_of_a_share_ends_where_the_share_is_t_errors_away(n: int, share: float) -> None:
    error = sqrt(share * (1 - share) / n)
    t = stats.t.ppf(0.975, n - 1)
    for low, width in ((0.0, 1.0), (-1.0, 2.0)):
        bounds = (low, low + width)
        ends = score_interval(low + width * share, width * error, n, bounds)
        for end in ((e - low) / width for e in ends):
            if 0 < end < 1:
                assert abs(share - end) == pytest.approx(t * sqrt(end * (1 - end) / n))
    assert score_interval(0.5, 0.1, 1, (0.0, 1.0)) == pytest.approx((np.nan,) * 2, nan_ok=True)
    assert not isnan(score_interval(0.5, 0.1, 2, (0.0, 1.0))[0])


def test_an_interval_without_a_bound_grows_with_the_distance_from_the_other() -> None:
    distance, error, n = 2.0, 0.3, 12
    t = stats.t.ppf(0.975, n - 1)
    low, high = score_interval(1 + distance, error, n, (1.0, inf))
    for end in (low - 1, high - 1):
        assert (distance - end) ** 2 == pytest.approx(t**2 * error**2 * end / distance)
    assert low < 3 < high
    assert score_interval(-1 - distance, error, n, (-inf, -1.0)) == pytest.approx((-high, -low))


def test_a_symmetric_interval_is_t_errors_wide_on_either_side() -> None:
    reach = stats.t.ppf(0.975, 8) * 0.05
    found = symmetric_interval(0.5, 0.05, 9, (0.0, 1.0))
    assert found == pytest.approx((0.5 - reach, 0.5 + reach))
    assert symmetric_interval(0.02, 0.05, 9, (0.0, 1.0)) == pytest.approx((0.0, 0.02 + reach))
    assert symmetric_interval(0.98, 0.05, 9, (0.0, 1.0)) == pytest.approx((0.98 - reach, 1.0))


# -- floors


def pair_of(n: int, seed: int = 0, widths: tuple[int, int] = (3, 4)):
    rng = np.random.default_rng(seed)
    return measure("linear_cka").pair(*(rng.standard_normal((n, d)) for d in widths))


def test_the_floor_of_linear_cka_has_the_moments_of_all_orders() -> None:
    pair = pair_of(6)
    every = [pair.permuted(torch.tensor(order)) for order in permutations(range(6))]
    for name, is_debiased in (("linear_cka", False), ("debiased_linear_cka", True)):
        scores = np.array([float(measure(name).raw(one)) for one in every])
        floor = alignment_floor(pair, is_debiased=is_debiased)
        assert floor is not None
        assert floor.mean == pytest.approx(scores.mean(), abs=1e-9)
        assert floor.deviation == pytest.approx(scores.std(), rel=1e-6)
        mean, variance = alignment_moments(pair.a, pair.b)
        assert floor.skewness == pytest.approx(2 * sqrt(variance) / mean)


def test_the_floor_of_a_squared_norm_ends_where_a_gamma_distribution_does() -> None:
    for skewness in (0.05, 0.8, 2.0):
        floor = skewed_floor(0.3, 0.04, skewness)
        truth = stats.pearson3.ppf(0.95, skewness, loc=0.3, scale=0.2)
        assert floor.p95 == pytest.approx(truth, rel=1e-9)
        assert floor.chance_beyond(floor.p95) == pytest.approx(0.05, rel=1e-6)
        assert floor.chance_beyond(0.6) == pytest.approx(
            stats.pearson3.sf(0.6, skewness, loc=0.3, scale=0.2), rel=1e-6
        )
    assert skewed_floor(0.3, 0.04, 0.0).p95 == pytest.approx(stats.norm.ppf(0.95, 0.3, 0.2))


@pytest.mark.parametrize("is_debiased", [False, True])
def test_floors_of_many_layers_are_those_of_each_pair(is_debiased: bool) -> None:
    n = 12  # of more, large rows leave it to shuffles
    rng = np.random.default_rng(1)
    layers = [
        [measure("linear_cka").pair(*(rng.standard_normal((n, d)),) * 2).a for d in widths]
        for widths in ((2, 5, 9), (3, 4))
    ]

    def known(sides):
        squares = torch.stack([1 / side.gram_norm_squared for side in sides])
        fourth = torch.stack([side.unit_row_squares.square().sum() for side in sides])
        return squares, fourth * squares

    found = floors_of_alignments(n, *map(known, layers), is_debiased=is_debiased)
    from samemind.sides.pair import Pair

    for i, a in enumerate(layers[0]):
        for j, b in enumerate(layers[1]):
            floor = alignment_floor(Pair(a, b), is_debiased=is_debiased)
            assert floor is not None
            truth = floor.mean, floor.deviation, floor.skewness
            assert [float(m[i, j]) for m in found[:3]] == pytest.approx(truth, abs=1e-12)


# -- names with a setting


def test_measures_with_a_setting_are_known_by_it_and_those_without_have_none() -> None:
    assert "knn_jaccard@7" in MEASURES
    assert "linear_cka@7" not in MEASURES
    assert "knn_jaccard@x" not in MEASURES
    assert "nothing@7" not in MEASURES
    assert "knn_jaccard" in MEASURES
    assert 7 not in MEASURES
    with pytest.raises(UnknownName, match="'knn_jaccard@7' is 'knn_jaccard' at k = 7"):
        MEASURES["knn_jaccard_k7"]
    assert MEASURES["knn_jaccard@7"].settings == {"k": 7}
    with pytest.raises(UnknownName) as told:
        MEASURES["linear_cka_7"]
    assert "NAME@VALUE" not in str(told.value)


def test_at_either_bound_the_error_that_is_given_does_not_count() -> None:
    for score in (0.0, 1.0):
        ends = score_interval(score, 0.1, 20, (0.0, 1.0))
        assert ends == score_interval(score, 0.0, 20, (0.0, 1.0))
        assert score in ends
