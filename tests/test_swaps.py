"""What a swap of models changes: counts, intervals against SciPy, and the answer."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from samemind.errors import InvalidInput
from samemind.statistics.swaps import paired_interval, swap, wilson_interval


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
    s = swap(truth, b, truth)  # 2 % turn wrong; Wilson 1.3 % to 3.1 %
    assert [s.answer(t) for t in (0.05, 0.02, 0.005)] == ["yes", "undecided", "no"]
    needed = s.inputs_needed(0.025)
    assert needed is not None
    assert 1000 < needed < 50_000
    low, high = wilson_interval(0.02 * needed, needed)
    assert high <= 0.025 or low > 0.025


def test_identical_models_have_no_flips_but_an_interval_wider_than_zero() -> None:
    s = swap([1] * 50, [1] * 50, [1] * 50)
    assert (s.negative, s.positive, s.churn, s.p_value) == (0, 0, 0, 1.0)
    assert s.negative_interval[0] == 0
    assert 0.05 < s.negative_interval[1] < 0.1


def test_unequal_lengths_are_refused() -> None:
    with pytest.raises(InvalidInput, match="2 and 3 predictions and 3 labels"):
        swap([0, 1], [0, 1, 1], [0, 1, 1])
