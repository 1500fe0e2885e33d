"""Rules that pass, fail or stay undecided: exact bounds, sequential looks, corrections."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from samemind.statistics.gating import (
    FAIL,
    PASS,
    SIDE,
    UNDECIDED,
    Loss,
    Score,
    Share,
    bounds_of_counts,
    decided,
    looks,
    loss_p_value,
    spent,
    together,
)
from samemind.statistics.swaps import exact_interval, inputs_needed

RELEASES = 1000
RELEASES_OF_LOSS = 150


@given(n=st.integers(1, 3000), limit=st.sampled_from([0.001, 0.01, 0.05, 0.3]))
@settings(max_examples=40, deadline=None)
def test_one_look_decides_as_the_exact_interval_does(n: int, limit: float) -> None:
    for count in {0, 1, int(n * limit), min(n, int(2.5 * n * limit) + 3), n}:
        share = Share(limit=limit, seen=(n,), counts=(count,), planned=n)
        low, high = exact_interval(count, n)
        assert share.passes(SIDE) == (high <= limit)
        assert share.fails(SIDE) == (low > limit)


def test_the_chance_to_cross_at_any_look_is_what_may_be_spent() -> None:
    seen, limit = looks(400), 0.05
    for is_low in (True, False):
        bounds = bounds_of_counts(seen, 400, limit, SIDE, is_low=is_low)
        left, before, crossed = np.ones(1), 0, 0.0
        for n, bound in zip(seen, bounds, strict=True):  # written out, without a transform
            left = np.convolve(left, binom.pmf(np.arange(n - before + 1), n - before, limit))
            counts = np.arange(n + 1)
            is_beyond = counts <= bound if is_low else counts >= bound
            crossed += left[is_beyond].sum()
            left, before = np.where(is_beyond, 0, left), n
            assert crossed <= spent(n, 400, SIDE) + 1e-12
        assert crossed > SIDE / 2  # and little of it is left unused


SETTINGS = [
    (limit, share)
    for limit in (0.01, 0.02, 0.05)
    for share in (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0)
]


def _released(limit: float, share: float, rng) -> tuple[float, float, float]:
    """Shares of 1,000 releases that pass and fail, and of the inputs of the fixed design seen."""
    planned = inputs_needed(limit / 2, limit)
    assert planned is not None
    seen = looks(planned)
    steps = np.diff((0, *seen))
    counts = rng.binomial(steps, limit * share, size=(RELEASES, len(seen))).cumsum(1)
    passing, failing = (
        counts <= np.array(bounds_of_counts(seen, planned, limit, SIDE, is_low=True)),
        counts >= np.array(bounds_of_counts(seen, planned, limit, SIDE, is_low=False)),
    )
    is_over = passing | failing
    last = np.where(is_over.any(1), is_over.argmax(1), len(seen) - 1)
    rows = np.arange(RELEASES)
    used = np.array(seen)[last].mean() / planned
    return float(passing[rows, last].mean()), float(failing[rows, last].mean()), float(used)


def test_a_thousand_releases_each_err_in_five_per_cent_at_most_and_save_a_third() -> None:
    rng = np.random.default_rng(0)
    used = []
    for limit, share in SETTINGS:
        passed, failed, inputs = _released(limit, share, rng)
        used.append(inputs)
        if share >= 1:  # at the limit a pass is wrong if it is beyond it by nothing
            assert passed <= 0.05, (limit, share)
        if share <= 1:
            assert failed <= 0.05, (limit, share)
    assert np.mean(used) <= 0.7


@pytest.mark.parametrize(("n", "limit"), [(1, 0.0), (7, 0.2), (12, 0.0), (13, 0.05)])
def test_the_p_value_of_a_loss_errs_no_more_often_than_it_says(n: int, limit: float) -> None:
    """Over every outcome, at the limit itself and whatever the share that turns."""
    for turning in (limit, limit + (1 - limit) / 3, 0.9):
        if turning < limit:
            continue
        wrong, right = (turning + limit) / 2, (turning - limit) / 2
        chance_low = chance_high = 0.0
        for lost in range(n + 1):
            for won in range(n + 1 - lost):
                p = binom.pmf(lost + won, n, turning)
                p *= binom.pmf(lost, lost + won, wrong / (wrong + right)) if turning else 1.0
                chance_low += p * (loss_p_value(lost, won, n, limit, is_low=True) <= SIDE)
                chance_high += p * (loss_p_value(lost, won, n, limit, is_low=False) <= SIDE)
        assert chance_low <= SIDE + 1e-9
        assert chance_high <= SIDE + 1e-9


def test_a_loss_is_decided_about_as_early_as_a_normal_test_would() -> None:
    # 2 % turn wrong, 2 % right: the loss is 0 ± 0.0063 at 1,000 inputs.
    loss = Loss(limit=0.02, seen=(1000,), lost=(20,), won=(20,), planned=1000)
    assert loss.passes(SIDE)
    assert not Loss(limit=0.01, seen=(1000,), lost=(20,), won=(20,), planned=1000).passes(SIDE)
    assert Loss(limit=0.0, seen=(1000,), lost=(40,), won=(10,), planned=1000).fails(SIDE)
    needed = Loss(limit=0.01, seen=(1000,), lost=(20,), won=(20,), planned=1000).needed()
    assert needed is not None
    assert 2000 < needed < 5000  # (2.8 × 0.2 / 0.01)² = 3,140


@pytest.mark.slow
def test_sequential_losses_err_in_five_per_cent_at_most() -> None:
    rng = np.random.default_rng(1)
    planned, limit, turning = 300, 0.02, 0.08
    seen = looks(planned)
    wrong_passes = wrong_failures = 0
    for _ in range(RELEASES_OF_LOSS):
        steps = rng.multinomial(
            1, [(turning + limit) / 2, (turning - limit) / 2, 1 - turning], size=planned
        ).cumsum(0)
        lost, won = (tuple(int(steps[n - 1, i]) for n in seen) for i in (0, 1))
        loss = Loss(limit=limit, seen=seen, lost=lost, won=won, planned=planned)
        wrong_passes += loss.passes(SIDE)
        wrong_failures += loss.fails(SIDE)
    assert wrong_passes <= 0.05 * RELEASES_OF_LOSS
    assert wrong_failures <= 0.05 * RELEASES_OF_LOSS


def test_failures_are_corrected_by_holm_and_passes_must_all_hold() -> None:
    class P:
        def __init__(self, passing: float, failing: float) -> None:
            self.passing, self.failing = passing, failing

        def passes(self, side: float) -> bool:
            return self.passing <= side

        def fails(self, side: float) -> bool:
            return self.failing <= side

        def needed(self) -> None:
            return None

    # 0.01 is enough for the first of three (0.0083 is not asked of it once another has failed).
    assert decided([P(1, 0.001), P(1, 0.012), P(1, 0.024)]) == [FAIL, FAIL, FAIL]
    assert decided([P(1, 0.01), P(1, 0.012), P(1, 0.024)]) == [UNDECIDED] * 3
    assert decided([P(1, 0.001), P(1, 0.012), P(1, 0.024)], later=9) == [FAIL] + [UNDECIDED] * 2
    assert decided([P(0.02, 1), P(0.02, 1), P(0.02, 1)]) == [PASS] * 3
    assert together([PASS, UNDECIDED]) == UNDECIDED
    assert together([PASS, UNDECIDED, FAIL]) == FAIL
    assert together([]) == UNDECIDED


def test_a_score_without_an_error_is_above_its_limit_or_is_not() -> None:
    assert Score(limit=0.5, above_floor=0.6, standard_error=0.0, n_inputs=9).passes(SIDE)
    below = Score(limit=0.5, above_floor=0.4, standard_error=0.0, n_inputs=9)
    assert below.fails(SIDE)
    assert not below.passes(SIDE)
    unsure = Score(limit=0.5, above_floor=0.51, standard_error=0.01, n_inputs=100)
    assert not unsure.passes(SIDE)
    assert unsure.needed() == 785  # (2.8 × 0.1 / 0.01)²
