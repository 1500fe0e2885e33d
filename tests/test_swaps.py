"""What a swap of models changes: counts, intervals against SciPy, and the answer."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from samemind.errors import InvalidInput
from samemind.statistics.swaps import (
    decides,
    exact_interval,
    paired_interval,
    swap,
    wilson_interval,
)


def test_flips_churn_and_classes_of_a_small_case_are_counted_by_hand() -> None:
    #            lost  won  same-wrong  changed-wrong  right
    truth = [0, 0, 1, 1, 2, 2]
    a = [0, 1, 0, 0, 2, 2]
    b = [1, 0, 0, 2, 2, 2]
    s = swap(a, b, truth)
    assert (s.negative, s.positive, s.churn, s.n_inputs) == (1, 1, 3, 6)
    assert s.accuracy_a == s.accuracy_b == 0.5
    assert s.negative_inputs == (0,)
    assert s.positive_inputs == (1,)
    assert [(c.label, c.n_inputs, c.negative, c.positive) for c in s.per_class] == [(0, 2, 1, 1)]


@given(n=st.integers(1, 5000), share=st.floats(0, 1))
def test_wilson_interval_is_that_of_scipy(n: int, share: float) -> None:
    count = round(share * n)
    expected = binomtest(count, n).proportion_ci(method="wilson")
    assert wilson_interval(count, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_interval_covers_a_rare_share_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    counts = rng.binomial(400, 0.01, size=3000)
    low, high = np.array([wilson_interval(int(c), 400) for c in counts]).T
    assert 0.93 < np.mean((low <= 0.01) & (high >= 0.01)) < 0.98


def test_paired_interval_covers_the_difference_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    draws = rng.multinomial(500, [0.06, 0.03, 0.91], size=3000)
    low, high = np.array([paired_interval(int(p), int(m), 500) for p, m, _ in draws]).T
    assert 0.935 < np.mean((low <= 0.03) & (high >= 0.03)) < 0.965


def test_the_answer_follows_the_whole_interval() -> None:
    truth = np.zeros(1000, dtype=int)
    b = truth.copy()
    b[:20] = 1
    s = swap(truth, b, truth)  # 2 % turn wrong; 1.2 % to 3.1 %
    assert [s.answer(t) for t in (0.05, 0.02, 0.005)] == ["yes", "undecided", "no"]
    needed = s.inputs_needed(0.025)
    assert needed is not None
    assert 1000 < needed < 50_000
    assert decides(needed, 0.02, 0.025) >= 0.8


@given(n=st.integers(1, 5000), share=st.floats(0, 1))
def test_exact_interval_is_that_of_scipy(n: int, share: float) -> None:
    count = round(share * n)
    expected = binomtest(count, n).proportion_ci(method="exact")
    assert exact_interval(count, n) == pytest.approx((expected.low, expected.high), abs=1e-10)


@pytest.mark.parametrize("tolerance", [0.0, 0.001, 0.01, 0.05, 0.2])
def test_yes_and_no_each_err_in_at_most_five_per_cent_at_every_number_of_inputs(tolerance) -> None:
    for n in (*range(1, 60), 85, 100, 200, 381, 500, 1000, 3000):
        intervals = np.array([exact_interval(count, n) for count in range(n + 1)])
        says_yes, says_no = intervals[:, 1] <= tolerance, intervals[:, 0] > tolerance
        # Just beyond the tolerance a yes is wrong; at it, a no is. Both are worst there.
        probability = binom.pmf(np.arange(n + 1), n, tolerance)
        assert probability[says_no].sum() <= 0.025 + 1e-9
        assert probability[says_yes].sum() <= 0.025 + 1e-9 or tolerance == 0


@given(
    n=st.integers(1, 150),
    share=st.sampled_from([0.0, 0.003, 0.01, 0.02, 0.3, 1.0]),
    tolerance=st.sampled_from([0.0, 0.005, 0.01, 0.05, 1.0]),
)
def test_how_often_a_number_of_inputs_decides_is_the_sum_over_all_counts(
    n: int, share: float, tolerance: float
) -> None:
    right = "yes" if share < tolerance else "no"
    expected = 0.0
    for count in range(n + 1):
        low, high = exact_interval(count, n)
        is_right = high <= tolerance if right == "yes" else low > tolerance
        expected += float(binom.pmf(count, n, share)) if is_right and share != tolerance else 0.0
    assert decides(n, share, tolerance) == pytest.approx(expected, abs=1e-9)


def test_the_inputs_said_to_be_enough_decide_in_four_of_five_samples() -> None:
    truth = np.zeros(400, dtype=int)
    b = truth.copy()
    b[:7] = 1
    s = swap(truth, b, truth)
    assert s.answer(0.01) == "undecided"
    needed = s.inputs_needed(0.01)
    assert needed is not None
    rng = np.random.default_rng(0)
    counts, times = np.unique(rng.binomial(needed, s.negative_share, size=4000), return_counts=True)
    decided = [exact_interval(int(count), needed)[0] > 0.01 for count in counts]
    assert times[decided].sum() / 4000 >= 0.78
    # And not many more than needed: some 10 % fewer do not suffice.
    assert decides(round(0.85 * needed), s.negative_share, 0.01) < 0.8
    assert s.inputs_needed(s.negative_share) is None


def test_the_exact_test_leads_where_the_interval_of_the_gain_says_otherwise() -> None:
    contradictions = 0
    for lost in range(30):
        for won in range(30):
            truth = np.zeros(100, dtype=int)
            a, b = truth.copy(), truth.copy()
            b[:lost], a[lost : lost + won] = 1, 1
            s = swap(a, b, truth)
            low, high = s.gain_interval
            contradictions += (low > 0 or high < 0) != (s.p_value < 0.05)
            expected = "more accurate" if won > lost else "less accurate"
            assert s.accuracy_answer == (expected if s.p_value < 0.05 else "not told apart")
    assert contradictions > 0


def test_identical_models_have_no_flips_but_an_interval_wider_than_zero() -> None:
    s = swap([1] * 50, [1] * 50, [1] * 50)
    assert (s.negative, s.positive, s.churn, s.p_value) == (0, 0, 0, 1.0)
    assert s.negative_interval[0] == 0
    assert 0.05 < s.negative_interval[1] < 0.1


def test_unequal_lengths_are_refused() -> None:
    with pytest.raises(InvalidInput, match="2 and 3 predictions and 3 labels"):
        swap([0, 1], [0, 1, 1], [0, 1, 1])


@pytest.mark.parametrize(("positive", "negative", "n"), [(10, 3, 100), (0, 0, 7), (5, 0, 40)])
def test_the_paired_interval_is_that_of_two_added_inputs_that_change_each_way(
    positive, negative, n
) -> None:
    """Bonett and Price: the variance of the mean of -1, 0 and 1 over N + 2 inputs, one of each."""
    changes = np.array(
        [1] * (positive + 1) + [-1] * (negative + 1) + [0] * (n - positive - negative)
    )
    reach = 1.959963984540054 * changes.std() / np.sqrt(n + 2)
    low, high = paired_interval(positive, negative, n)
    assert low == pytest.approx(max(changes.mean() - reach, -1))
    assert high == pytest.approx(min(changes.mean() + reach, 1))
