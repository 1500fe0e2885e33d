"""Statistics on synthetic models whose true similarity is known."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import skew

from samemind.errors import InvalidInput
from samemind.statistics import (
    Evidence,
    Interval,
    PairScores,
    Trend,
    agreement_bounds,
    ceiling,
    classical_map,
    cluster_order,
    holm,
    judge,
    normalised,
    pair_scores,
    rank_correlations,
    trend,
)
from samemind.statistics.trends import beside, estimate
from samemind.statistics.verdict import ANSWERS

STUDIES = 500
LEVELS = (0.0, 0.25, 0.5, 1.0)
# Each model's loading on the signal that all share: mean, spread between models that every level
# has alike, and spread of the model trained at one level.
MEAN, BETWEEN, WITHIN = 0.6, 0.05, 0.05


def study_of_known_similarity(rise, n_models, generator):
    """Similarities z_a z_b of models with independent loadings: the truth is E[z]² per level."""
    own = generator.normal(0, BETWEEN, n_models)
    scores = []
    for place in range(len(LEVELS)):
        mean = MEAN + rise * place / (len(LEVELS) - 1)
        loadings = mean + own + generator.normal(0, WITHIN, n_models)
        noise = np.triu(generator.normal(0, 0.01, (n_models, n_models)), 1)
        scores.append(np.outer(loadings, loadings) + noise + noise.T)
    scores = np.array(scores)
    scores[:, np.arange(n_models), np.arange(n_models)] = np.nan
    return PairScores(scores, LEVELS, tuple(f"model{i}" for i in range(n_models)))


def true_change(rise):
    means = np.array([(MEAN + rise * place / 3) ** 2 for place in range(4)])
    places = np.arange(4) - 1.5
    return float(3 * (places @ means) / (places @ places))


@pytest.mark.parametrize(("n_models", "rise"), [(7, 0.2), (4, 0.0)])
def test_intervals_of_500_simulated_studies_cover_the_truth(n_models, rise):
    generator = np.random.default_rng(n_models)
    truth_change, truth_last = true_change(rise), (MEAN + rise) ** 2
    covered = np.zeros(2)
    for _ in range(STUDIES):
        found = trend(study_of_known_similarity(rise, n_models, generator))
        covered += [
            found.change.lower <= truth_change <= found.change.upper,
            found.last.lower <= truth_last <= found.last.upper,
        ]
    assert covered.min() / STUDIES >= 0.92
    # An interval that always covers would be of no use either.
    assert covered.max() / STUDIES <= 0.99


# Effects of models, with mean 0 and deviation 1: how they may lie around what all share.
EFFECTS = {
    "normal": lambda generator, n: generator.normal(size=n),
    "long tail below": lambda generator, n: 1 - generator.exponential(size=n),
    "long tail above": lambda generator, n: generator.exponential(size=n) - 1,
}


def study_with_slopes_of_their_own(n_models, n_levels, effects, generator):
    """No change on average, but every model has a slope of its own, with mean 0."""
    places = np.arange(n_levels) / (n_levels - 1)
    own, slope = 0.05 * effects(generator, n_models), 0.05 * effects(generator, n_models)
    parts = 0.25 + own + np.outer(places, slope) + generator.normal(0, 0.02, (n_levels, n_models))
    noise = np.triu(generator.normal(0, 0.01, (n_levels, n_models, n_models)), 1)
    scores = parts[:, :, None] + parts[:, None, :] + noise + noise.swapaxes(1, 2)
    scores[:, np.arange(n_models), np.arange(n_models)] = np.nan
    return PairScores(scores, tuple(places), tuple(f"model{i}" for i in range(n_models)))


@pytest.mark.slow
@pytest.mark.parametrize("effects", EFFECTS)
@pytest.mark.parametrize(("n_models", "n_levels"), [(4, 2), (5, 4), (7, 2), (10, 4)])
def test_the_test_of_the_change_holds_where_models_have_slopes_of_their_own(
    n_models, n_levels, effects
):
    generator = np.random.default_rng(3)
    studies = 2000
    rejected = sum(
        trend(
            study_with_slopes_of_their_own(n_models, n_levels, EFFECTS[effects], generator)
        ).p_value <= 0.05
        for _ in range(studies)
    )  # fmt: skip
    # Standard error of the share: 0.5 %. A permutation of ε within models rejects 23 to 30 %.
    assert 0.025 <= rejected / studies <= 0.07


def test_the_test_of_the_change_errs_in_five_per_cent_of_small_studies():
    generator = np.random.default_rng(3)
    rejected = sum(
        trend(study_with_slopes_of_their_own(5, 4, EFFECTS["normal"], generator)).p_value <= 0.05
        for _ in range(STUDIES)
    )
    assert 0.02 <= rejected / STUDIES <= 0.07


def test_the_test_of_the_change_and_its_interval_never_contradict_each_other():
    generator = np.random.default_rng(11)
    near = 0
    for place in range(400):
        effects = list(EFFECTS.values())[place % 3]
        found = trend(study_with_slopes_of_their_own(4 + place % 4, 3, effects, generator))
        excludes = found.change.lower > 0 or found.change.upper < 0
        assert excludes == (found.p_value < 0.05)
        near += 0.01 < found.p_value < 0.2
    assert near > 20


def level_of_skewed_models(n_models, effects, generator):
    """One level at which pairs are alike by z_a z_b, with E[z]² = 0.9025."""
    loadings = 0.95 + 0.03 * effects(generator, n_models)
    noise = np.triu(generator.normal(0, 0.005, (n_models, n_models)), 1)
    scores = np.clip(np.outer(loadings, loadings) + noise + noise.T, 0, 1)
    np.fill_diagonal(scores, np.nan)
    return PairScores(scores[None], (0.0,), tuple(f"model{i}" for i in range(n_models)))


@pytest.mark.parametrize(("n_models", "effects"), [(5, "long tail below"), (10, "normal")])
def test_the_level_is_covered_where_effects_are_skewed_and_few(n_models, effects):
    shares = level_errors(n_models, effects, 600)
    assert sum(shares) <= 0.08


@pytest.mark.slow
@pytest.mark.parametrize("effects", EFFECTS)
@pytest.mark.parametrize("n_models", [4, 5, 7, 10])
def test_the_level_of_four_to_ten_models_is_covered_whatever_the_tail(n_models, effects):
    below, above = level_errors(n_models, effects, 4000)
    assert 0.015 <= below + above <= 0.08
    # The end that makes a level universal.
    assert below <= 0.06


def level_errors(n_models, effects, studies):
    """The shares of studies whose interval lies above the truth, and below it."""
    generator = np.random.default_rng(n_models)
    ends = [
        trend(level_of_skewed_models(n_models, EFFECTS[effects], generator)).last
        for _ in range(studies)
    ]
    truth = 0.95**2
    assert all(0 <= end.lower <= end.upper <= 1 for end in ends)
    return (
        np.mean([end.lower > truth for end in ends]),
        np.mean([end.upper < truth for end in ends]),
    )


def test_a_trend_that_is_there_is_found():
    generator = np.random.default_rng(4)
    found = [trend(study_of_known_similarity(0.2, 7, generator)).p_value for _ in range(50)]
    assert np.mean(np.array(found) <= 0.05) > 0.95


def test_the_test_does_not_reject_too_often_where_pairs_vary_more_than_models():
    generator = np.random.default_rng(5)
    rejected = 0
    for _ in range(200):
        noise = np.triu(generator.normal(0, 0.05, (4, 7, 7)), 1)
        scores = 0.5 + noise + noise.swapaxes(1, 2)
        scores[:, np.arange(7), np.arange(7)] = np.nan
        rejected += trend(PairScores(scores, LEVELS, tuple("abcdefg"))).p_value <= 0.05
    assert rejected / 200 <= 0.05


def test_the_interval_is_the_jackknife_over_models():
    pairs = study_of_known_similarity(0.1, 6, np.random.default_rng(8))
    weights = np.array([0.0, 0.0, -1.0, 1.0])

    def difference(scores):
        means = np.nanmean(scores.reshape(len(scores), -1), axis=1)
        return weights @ means

    kept = [np.delete(np.arange(6), i) for i in range(6)]
    left_out = np.array([difference(pairs.scores[:, k][:, :, k]) for k in kept])
    found = estimate(pairs, weights)
    expected = np.sqrt(5 / 6 * ((left_out - left_out.mean()) ** 2).sum())
    assert found.value == pytest.approx(difference(pairs.scores))
    assert found.standard_error == pytest.approx(expected)
    pseudo = 6 * found.value - 5 * left_out
    assert found.skewness == pytest.approx(skew(pseudo, bias=False))


def test_models_that_are_absent_at_some_levels_are_left_out_of_the_others():
    pairs = study_of_known_similarity(0.1, 6, np.random.default_rng(8))
    scores = pairs.scores.copy()
    scores[0, 0], scores[0, :, 0] = np.nan, np.nan
    found = estimate(PairScores(scores, LEVELS, pairs.units), np.array([1.0, 0, 0, 0]))
    without = pairs.scores[:1, 1:, 1:]
    assert found.value == pytest.approx(np.nanmean(without))
    # Two models only at a level: without one of them it has no pair.
    scores[0, 1:4], scores[0, :, 1:4] = np.nan, np.nan
    few = trend(PairScores(scores, LEVELS, pairs.units))
    assert np.isnan([few.change.lower, few.p_value]).all()
    assert few.last.lower < few.last.value


def test_resampling_pairs_instead_of_models_would_be_far_too_sure():
    generator = np.random.default_rng(6)
    truth = (MEAN + 0.2) ** 2
    covered = 0
    for _ in range(200):
        last = study_of_known_similarity(0.2, 7, generator).scores[-1]
        pairs = last[np.triu_indices(7, 1)]
        drawn = generator.choice(pairs, (300, len(pairs))).mean(axis=1)
        lower, upper = np.quantile(drawn, [0.025, 0.975])
        covered += lower <= truth <= upper
    assert covered / 200 < 0.8


def test_trend_of_exact_scores_is_exact():
    scores = np.array([np.full((5, 5), value) for value in (0.1, 0.2, 0.3)])
    scores[:, np.arange(5), np.arange(5)] = np.nan
    found = trend(PairScores(scores, (0.0, 0.5, 1.0), tuple("abcde")))
    assert found.change.value == pytest.approx(0.2)
    assert found.change.lower == pytest.approx(0.2)
    assert (found.first.value, found.last.value) == pytest.approx((0.1, 0.3))
    assert (found.share_rising, found.n_pairs, found.n_units) == (1.0, 10, 5)


def test_trend_is_the_same_whenever_it_is_computed():
    study = study_of_known_similarity(0.2, 7, np.random.default_rng(0))
    assert trend(study) == trend(study)


def test_the_difference_is_last_minus_first_and_the_change_is_along_the_line():
    scores = np.array([np.full((5, 5), value) for value in (0.1, 0.5, 0.3)])
    scores[:, np.arange(5), np.arange(5)] = np.nan
    found = trend(PairScores(scores, (0.0, 0.5, 1.0), tuple("abcde")))
    assert found.difference.value == pytest.approx(0.2)
    steep = np.concatenate([scores, scores[2:] + 0.3])
    found = trend(PairScores(steep, (0.0, 0.5, 1.0, 2.0), tuple("abcde")))
    assert found.difference.value == pytest.approx(0.5)
    assert found.change.value == pytest.approx(
        3 * (-1.5 * 0.1 - 0.5 * 0.5 + 0.5 * 0.3 + 1.5 * 0.6) / 5
    )


def test_two_models_give_a_trend_without_interval_or_p_value():
    pairs = pair_scores([0.0, 1.0], ["a", "a"], ["b", "b"], [0.2, 0.5])
    found = trend(pairs)
    assert found.change.value == pytest.approx(0.3)
    assert np.isnan([found.change.lower, found.change.upper, found.p_value]).all()


def test_a_change_of_models_is_not_a_trend_of_the_common_models():
    generator = np.random.default_rng(1)
    scores = study_of_known_similarity(0.0, 8, generator).scores
    scores[0, :2], scores[0, :, :2] = np.nan, np.nan  # two models are absent at ε = 0
    scores[1:, :2] += 0.3  # and unlike the others where they are
    scores[1:, :, :2] += 0.3
    pairs = PairScores(scores, LEVELS, tuple("abcdefgh"))
    assert trend(pairs).change.value > 0.08
    assert abs(trend(pairs.common()).change.value) < 0.08
    assert pairs.common().units == tuple("cdefgh")


def test_both_directions_and_random_seeds_of_a_pair_are_averaged():
    pairs = pair_scores([0, 0, 0], ["a", "b", "a"], ["b", "a", "a"], [0.2, 0.4, 0.9])
    assert pairs.scores[0] == pytest.approx(np.array([[np.nan, 0.3], [0.3, np.nan]]), nan_ok=True)
    with pytest.raises(InvalidInput, match="2 levels, 1 and 1 names and 1 scores"):
        pair_scores([0, 1], ["a"], ["b"], [0.1])


def test_floors_and_ceilings_of_synthetic_representations_are_recovered():
    # Two "random seeds" of an architecture share the signal by r, other architectures by q.
    generator = np.random.default_rng(2)
    r, q, n = 0.9, 0.6, 20_000
    signal = generator.normal(size=n)
    family = [q * signal + np.sqrt(1 - q**2) * generator.normal(size=n) for _ in range(3)]
    models = [
        np.sqrt(r) * core + np.sqrt(1 - r) * generator.normal(size=n)
        for core in family
        for _ in range(2)
    ]
    i, j = np.triu_indices(6, 1)
    scores = np.corrcoef(models)[i, j]
    same = i // 2 == j // 2
    permuted = [
        np.corrcoef(models[a], generator.permutation(models[b]))[0, 1]
        for a, b in zip(i, j, strict=True)
    ]
    top = ceiling(scores, same, np.zeros(len(i), dtype=bool))
    assert top == pytest.approx(r, abs=0.01)
    assert np.mean(permuted) == pytest.approx(0.0, abs=0.01)
    level = normalised(scores[~same], float(np.mean(permuted)), top)
    assert level.mean() == pytest.approx(q**2, abs=0.02)


def test_no_pair_of_one_architecture_means_no_ceiling():
    assert np.isnan(ceiling(np.array([0.5]), np.array([False]), np.array([False])))


def test_a_floor_at_the_ceiling_gives_no_normalised_score():
    assert np.isnan(normalised(0.5, 0.5, 0.51))


@pytest.mark.parametrize(("a", "b", "classes", "fort", "hard"), [
    (0.5311, 0.6967, 1000, 0.762, 0.834),
    (0.60, 0.86, 10, 0.692, 0.740),
])  # fmt: skip
def test_bounds_on_agreement_match_the_papers_notebook(a, b, classes, fort, hard):
    bounds = agreement_bounds(a, b, classes)
    assert bounds == agreement_bounds(b, a, classes)
    assert bounds.fort[1] == pytest.approx(fort, abs=5e-4)
    assert bounds.hard[1] == pytest.approx(hard, abs=5e-4)


def test_no_two_classifiers_are_beyond_the_hard_bounds():
    generator = np.random.default_rng(0)
    for _ in range(200):
        truth, a, b = generator.integers(0, 3, (3, 12))
        bounds = agreement_bounds((a == truth).mean(), (b == truth).mean(), 3)
        assert bounds.hard[0] - 1e-12 <= (a == b).mean() <= bounds.hard[1] + 1e-12


def test_independent_predictions_meet_the_lower_bound_of_fort():
    generator = np.random.default_rng(0)
    n, classes = 400_000, 5
    truth = generator.integers(0, classes, n)
    wrong = [(truth + generator.integers(1, classes, n)) % classes for _ in range(2)]
    a = np.where(generator.random(n) < 0.8, truth, wrong[0])
    b = np.where(generator.random(n) < 0.6, truth, wrong[1])
    assert agreement_bounds(0.8, 0.6, classes).fort[0] == pytest.approx((a == b).mean(), abs=3e-3)


def test_percentages_are_refused_as_accuracies():
    with pytest.raises(InvalidInput, match="Divide percentages by 100"):
        agreement_bounds(93.2, 90.0)
    with pytest.raises(InvalidInput, match="two classes or more, not 1"):
        agreement_bounds(0.5, 0.5, 1)


def test_a_map_keeps_the_distances_of_points_in_a_plane():
    points = np.array([[0, 0], [0.3, 0], [0.1, 0.4], [0.5, 0.5]])
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    found, kept = classical_map(1 - distances)
    again = np.linalg.norm(found[:, None] - found[None], axis=-1)
    assert again == pytest.approx(distances)
    assert kept == pytest.approx(1)


def test_alike_models_stand_together():
    blocks = np.array([0, 1, 0, 1, 0, 1])
    similarities = np.where(blocks[:, None] == blocks[None], 0.9, 0.1).astype(float)
    order = blocks[cluster_order(similarities)]
    assert np.abs(np.diff(order)).sum() == 1


def test_rank_correlations_are_scipys():
    from scipy.stats import spearmanr

    table = np.random.default_rng(0).normal(size=(30, 3))
    table[:, 1] = np.exp(table[:, 0])
    found = rank_correlations(table)
    assert found == pytest.approx(spearmanr(table).statistic)
    assert found[0, 1] == pytest.approx(1)
    assert np.isnan(rank_correlations(np.ones((5, 2)))).all()


def evidence(change, width=0.02, p_value=0.001, last=0.7, last_width=0.02, **fields):
    found = Trend(
        Interval(change, change - width, change + width), p_value, 1.0, 1.0,
        Interval(last - change), Interval(last, last - last_width, last + last_width), 7, 21, 4,
    )  # fmt: skip
    values = {"floor": 0.1, "ceiling": 0.9, "is_ceiling_measured": True, "p_value": p_value}
    return Evidence("linear_cka", found, **(values | fields))


@pytest.mark.parametrize(("item", "direction", "standing"), [
    (evidence(0.3), "up", "distinct"),
    (evidence(-0.3), "down", "distinct"),
    (evidence(0.0), "flat", "distinct"),
    (evidence(0.03), "slightly up", "distinct"),
    (evidence(-0.03), "slightly down", "distinct"),
    (evidence(0.03, p_value=0.2), "unclear", "distinct"),
    (evidence(0.3, p_value=0.2), "unclear", "distinct"),
    (evidence(0.3, width=0.5), "unclear", "distinct"),
    (evidence(0.3, last=0.88), "up", "universal"),
    (evidence(0.3, last=0.82, last_width=0.05), "up", "unclear"),
    (evidence(0.3, is_ceiling_measured=False), "up", "unclear"),
    (evidence(0.3, ceiling=0.11), "unclear", "unclear"),
])  # fmt: skip
def test_rules_of_the_verdict(item, direction, standing):
    assert (item.direction, item.standing) == (direction, standing)


UNSURE = evidence(0.1, width=0.2, p_value=0.4)
# The same estimate in three measures, of which a small study finds one.
FALLING = evidence(-0.1, width=0.11, p_value=0.06)


@pytest.mark.parametrize(("items", "answer", "words"), [
    ([evidence(0.3), evidence(0.2)], "converging", "converge with robustness and remain distinct"),
    ([evidence(0.3), evidence(0.0)], "mixed", "by first, but not by second and remain distinct"),
    ([evidence(0.0), evidence(0.0)], "not converging", "do not converge"),
    ([evidence(-0.3), evidence(-0.2)], "diverging", "diverge with robustness"),
    ([UNSURE, UNSURE], "unclear", "no clear trend"),
    ([evidence(0.3), UNSURE], "partly converging",
     "converge with robustness by first (unclear by second)"),
    ([evidence(0.03), evidence(0.03)], "slightly converging", "converge slightly with robustness"),
    ([evidence(0.3), evidence(0.03)], "converging",
     "converge with robustness by first and converge slightly by second"),
    ([evidence(0.03), evidence(-0.03)], "mixed",
     "converge slightly with robustness by first and diverge slightly by second"),
    ([evidence(-0.03), evidence(0.0)], "not converging", "diverge slightly with robustness by"),
    ([evidence(-0.3), UNSURE], "partly diverging",
     "diverge with robustness by first (unclear by second)"),
    ([evidence(0.3), evidence(-0.3)], "mixed", "by first and diverge by second"),
    # Not known to fall, but known not to rise: that is not unclear as to a rise.
    ([evidence(0.3), FALLING], "mixed", "by first, but not by second"),
    ([FALLING, evidence(0.0)], "not converging", "do not converge with robustness"),
    ([evidence(0.3, last=0.9)] * 2, "universal", "and are alike to a universal degree"),
    ([evidence(0.0, last=0.9)] * 2, "universal", "but are alike to a universal degree"),
    ([evidence(0.3, last=0.9), evidence(0.3)], "converging", "universal level by first only"),
    ([evidence(0.3, is_ceiling_measured=False)] * 2, "converging", "one random seed per model"),
])  # fmt: skip
def test_sentences_of_the_verdict(items, answer, words):
    verdict = judge("Representations", items, ["first", "second"])
    assert verdict.answer == answer
    assert verdict.answer in ANSWERS
    assert words in verdict.sentence
    assert "95 % CI" in verdict.sentence


def test_one_flat_and_two_unclear_measures_are_unclear():
    verdict = judge("Representations", [evidence(0.0), UNSURE, UNSURE], list("ABC"))
    assert verdict.answer == "unclear"
    assert "show no clear trend with robustness by B and C, and none upwards by A" in verdict.words
    assert "do not" not in verdict.words


def test_the_record_of_a_verdict_holds_every_number_of_its_sentence():
    pairs = study_of_known_similarity(0.2, 5, np.random.default_rng(0))
    found = trend(pairs)
    item = Evidence("linear_cka", found, 0.1, 0.9, True, 0.04)
    record = judge("Representations", [item], ["CKA"], note="Of all.").as_record()
    (of_measure,) = record["measures"]
    assert record["sentence"].endswith(". Of all.")
    assert of_measure["change"] == {
        "value": found.change.value, "lower": found.change.lower, "upper": found.change.upper,
    }  # fmt: skip
    assert of_measure["models"] == list(pairs.units)
    assert (of_measure["p_value"], of_measure["p_value_corrected"]) == (found.p_value, 0.04)
    assert of_measure["level"]["value"] == pytest.approx((found.last.value - 0.1) / 0.8)
    assert of_measure["smallest_change"] == pytest.approx(0.04)


@pytest.mark.parametrize("n_models", range(4, 11))
@pytest.mark.parametrize("n_levels", [2, 3, 5])
def test_a_rise_of_every_pair_converges_at_every_size_that_has_a_verdict(n_models, n_levels):
    levels = np.linspace(0.3, 0.8, n_levels)
    noise = np.random.default_rng(0).normal(0, 1e-3, (n_levels, n_models, n_models))
    scores = levels[:, None, None] + noise + noise.swapaxes(1, 2)
    scores[:, np.arange(n_models), np.arange(n_models)] = np.nan
    found = trend(PairScores(scores, tuple(levels), tuple(map(str, range(n_models)))))
    items = [Evidence("m", found, 0.0, 1.0, True, p) for p in holm([found.p_value] * 3)]
    assert judge("Representations", items, list("ABC")).answer == "converging"


def test_a_level_between_ends_that_are_too_near_is_not_given():
    sentence = judge("Predictions", [evidence(0.0, floor=0.89, ceiling=0.9)], ["CKA"]).sentence
    assert "not to be placed between ends as near as its floor (0.89)" in sentence
    assert "nan" not in sentence


def test_no_verdict_says_what_is_missing():
    assert judge("Predictions", [], []).missing == ("a measure of this aspect",)
    verdict = judge("Predictions", [evidence(0.3, floor=float("nan"))], ["CKA"])
    assert verdict.answer == "none"
    assert verdict.sentence == (
        "Predictions: no verdict. The study would need floors (scores of permuted rows)."
    )


def test_p_values_are_corrected_by_holms_rule():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.7]) == [1.0, 1.0]


def test_a_p_value_that_is_none_does_not_count_as_a_test():
    assert holm([0.01, float("nan"), 0.04]) == pytest.approx([0.02, np.nan, 0.04], nan_ok=True)
    assert holm([float("nan")]) == pytest.approx([np.nan], nan_ok=True)
    assert holm([]) == []


# -- a covariate of pairs


def _with_covariate(random: np.random.Generator, *, change: float, slope: float, noise: float):
    """Scores of pairs of eight models that fall by level only through a covariate, and it."""
    units = [f"m{i}" for i in range(8)]
    rows = []
    for level in range(3):
        skill = random.normal(size=8) * (1 + level)  # models differ more at higher levels
        for i, j in combinations(range(8), 2):
            gap = abs(skill[i] - skill[j])
            score = 0.5 + change * level / 2 + slope * gap + noise * random.normal()
            rows.append((float(level), units[i], units[j], score, gap))
    levels, a, b, scores, gaps = zip(*rows, strict=True)
    return pair_scores(levels, a, b, scores), pair_scores(levels, a, b, gaps)


def test_a_change_that_a_covariate_makes_is_not_there_beside_it():
    pairs, gaps = _with_covariate(np.random.default_rng(0), change=0.0, slope=-0.1, noise=0.0)
    assert trend(pairs).change.value < -0.1
    change, slope = beside(pairs, gaps)
    assert change.value == pytest.approx(0, abs=1e-12)
    assert slope.value == pytest.approx(-0.1)


def test_the_change_beside_a_covariate_is_covered():
    random = np.random.default_rng(1)
    inside = 0
    for _ in range(60):
        pairs, gaps = _with_covariate(random, change=0.2, slope=-0.1, noise=0.1)
        found = beside(pairs, gaps)[0].interval()
        inside += found.lower <= 0.2 <= found.upper
    assert inside >= 51  # of 60 at 95 %: fewer with a chance of 0.2 %


def test_beside_a_covariate_without_variation_nothing_is_known():
    pairs, gaps = _with_covariate(np.random.default_rng(2), change=0.2, slope=0.0, noise=0.1)
    same = replace(gaps, scores=np.where(np.isfinite(gaps.scores), 1.0, np.nan))
    change, slope = beside(pairs, same)
    assert np.isnan(change.value)
    assert np.isnan(slope.value)
    with pytest.raises(InvalidInput, match="each pair"):
        beside(pairs, replace(gaps, units=gaps.units[::-1]))


def test_changes_at_random_that_do_not_reach_an_accuracy_bound_nothing():
    # Of ten classes: 1 % of a model that is right on 12 % cannot come of changes at random.
    reached = agreement_bounds(0.10, 0.12, 10).fort[1]
    assert 0 < reached < 1
    lower, upper = agreement_bounds(0.01, 0.12, 10).fort
    assert upper != upper
    assert 0 <= lower <= 1
    worst = (1 - 0.3) / 9  # every prediction changed
    assert agreement_bounds(worst + 1e-9, 0.3, 10).fort[1] == pytest.approx(0, abs=1e-6)
