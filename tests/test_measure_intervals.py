"""Intervals around scores: within the bounds, of some width, and covering what they promise."""

import re

import numpy as np
import pytest
import torch

from measure_examples import arrays_for, labels
from samemind.comparison.pairs import score_pair
from samemind.errors import UndefinedScore
from samemind.measures import MEASURES, Measure
from samemind.measures.intervals import counts_interval, score_interval, symmetric_interval
from samemind.statistics.swaps import wilson_interval

torch.set_num_threads(1)

WITH_STANDARD_ERROR = [member for member in MEASURES.values() if member.has_standard_error]
OF_COUNTS = (
    "agreement",
    "disagreement",
    "negative_flips",
    "accuracy_difference",
    "cohens_kappa",
    "error_consistency",
    "chance_adjusted_agreement",
)


def decisions(n: int, accuracy: float, seed: int) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Logits of two models over four classes that are wrong more often on a fifth of the inputs."""
    rng = np.random.default_rng(seed)
    truth, is_hard = rng.integers(0, 4, n), rng.random(n) < 0.2
    sides = []
    for _ in range(2):
        wrong = rng.random(n) < (1 - accuracy) * np.where(is_hard, 3, 0.5)
        chosen = np.where(wrong, (truth + rng.integers(1, 4, n)) % 4, truth)
        sides.append(torch.nn.functional.one_hot(torch.tensor(chosen), 4).double())
    return sides, torch.tensor(truth)


def test_of_a_share_the_interval_is_wilsons_with_the_quantile_of_few_inputs() -> None:
    share, n = 0.3, 1000
    error = (share * (1 - share) / n) ** 0.5
    assert score_interval(share, error, n, (0.0, 1.0)) == pytest.approx(
        wilson_interval(share * n, n), abs=1e-4
    )


@pytest.mark.parametrize("member", WITH_STANDARD_ERROR, ids=lambda m: m.name)
def test_an_interval_holds_the_score_and_stays_within_the_bounds(member: Measure) -> None:
    first, second = arrays_for(member)
    pair = member.pair(first, second, labels=labels(len(first)))
    score, (low, high) = member.score(pair), member.interval(pair)
    if member.unsettled is not None and member.unsettled(pair, **member.settings):
        assert np.isnan([low, high]).all()
        return
    assert member.bounds[0] <= low <= score <= high <= member.bounds[1]
    assert low < high


@pytest.mark.parametrize("name", ["agreement", "disagreement", "cohens_kappa", "linear_cka"])
def test_where_nothing_differs_the_interval_is_as_wide_as_the_inputs_are_few(name: str) -> None:
    member = MEASURES[name]
    ends = []
    for n in (20, 200):
        first = arrays_for(member, n=n)[0]
        low, high = member.interval(member.pair(first, first))
        ends.append(high - low)
        assert member.identical in (low, high)
    assert ends[0] > 4 * ends[1] > 0


def test_a_distance_without_a_bound_has_no_upper_end_where_nothing_differs() -> None:
    member = MEASURES["jeffreys_divergence"]
    first = arrays_for(member)[0]
    low, high = member.interval(member.pair(first, first))
    assert low == 0
    assert np.isnan(high)


def test_one_input_has_no_interval() -> None:
    assert np.isnan(score_interval(0.5, 0.1, 1, (0.0, 1.0))).all()
    assert np.isnan(symmetric_interval(0.5, 0.1, 1, (0.0, 1.0))).all()


def test_an_interval_of_counts_is_that_of_jeffreys_for_one_share() -> None:
    from scipy.stats import beta

    low, high = counts_interval(torch.tensor([3.0, 97.0]), lambda shares: shares[:, 0])
    assert (low, high) == pytest.approx(beta.ppf([0.025, 0.975], 3.5, 97.5), abs=2e-3)


def test_a_row_of_scores_has_the_ends_of_the_interval() -> None:
    sides, truth = decisions(60, 0.9, 0)
    member = MEASURES["error_consistency"]
    pair = member.pair(*sides, labels=truth)
    scored = score_pair(pair, member)
    assert (scored.lower, scored.upper) == member.interval(pair)
    without = score_pair(MEASURES["geometry_score"].pair(*sides), MEASURES["geometry_score"])
    assert np.isnan([without.lower, without.upper]).all()


@pytest.mark.parametrize("member", WITH_STANDARD_ERROR, ids=lambda m: m.name)
@pytest.mark.parametrize("n", [6, 36])
def test_error_and_interval_are_those_of_each_alone(
    member: Measure, n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = member.pair(*(array[:n] for array in arrays_for(member)), labels=labels(n))
    try:
        expected = member.standard_error(pair), member.interval(pair)
    except UndefinedScore as error:
        with pytest.raises(UndefinedScore, match=re.escape(str(error))):
            member.error_and_interval(pair)
        return
    asked, influence = [], Measure.influence
    monkeypatch.setattr(
        Measure, "influence", lambda *given: asked.append(given) or influence(*given)
    )
    error, interval = member.error_and_interval(pair)
    assert len(asked) == 1
    assert error == expected[0]
    assert interval == pytest.approx(expected[1], nan_ok=True)


@pytest.mark.slow
@pytest.mark.parametrize("accuracy", [0.98, 0.8])
@pytest.mark.parametrize("n", [20, 50, 200])
@pytest.mark.parametrize("name", OF_COUNTS)
def test_intervals_of_rare_events_cover_what_they_promise(
    name: str, n: int, accuracy: float
) -> None:
    member, found = MEASURES[name], []
    for seed in range(500):
        sides, truth = decisions(n, accuracy, seed)
        pair = member.pair(*sides, labels=truth)
        try:
            found.append((member.score(pair), *member.interval(pair)))
        except UndefinedScore:
            continue
    scores, low, high = np.array(found).T
    covered = ((low <= scores.mean()) & (scores.mean() <= high)).mean()
    # 500 draws are off by one point; so few events come in steps, so more than 98 % is no fault.
    assert covered > 0.9
