"""Scores beyond the inputs at hand: extrapolated, and calibrated."""

import numpy as np
import pytest
import torch

import samemind
from measure_examples import generator, related
from samemind.comparison.drift import extrapolate
from samemind.errors import InvalidInput
from samemind.measures import MEASURES

torch.set_num_threads(1)


def unrelated(n: int, width: int) -> list[torch.Tensor]:
    g = generator(3, n)
    return [torch.randn(n, width, generator=g, dtype=torch.float64) for _ in range(2)]


def test_the_bias_of_cka_is_seen_to_move_and_its_limit_is_nearer_to_zero() -> None:
    member = MEASURES["linear_cka"]
    found = extrapolate(member.pair(*unrelated(200, 20)), member)
    # Unrelated models score about D / (N + D).
    assert found.quarter == pytest.approx(20 / 70, abs=0.03)
    assert found.half == pytest.approx(20 / 120, abs=0.03)
    assert found.quarter > found.half > found.score > found.limit
    assert found.is_moving
    assert abs(found.limit) < 0.3 * found.score


def test_the_unbiased_estimator_does_not_move() -> None:
    member = MEASURES["debiased_linear_cka"]
    found = extrapolate(member.pair(*related(400, (5, 4))), member)
    assert not found.is_moving
    assert found.limit == pytest.approx(found.score, abs=found.standard_error)
    assert found == extrapolate(member.pair(*related(400, (5, 4))), member)


def test_few_inputs_have_no_quarters() -> None:
    member = MEASURES["linear_cka"]
    with pytest.raises(InvalidInput, match="15 inputs"):
        extrapolate(member.pair(*related(15, (5, 4))), member)


def test_compare_calibrates_and_extrapolates_where_it_is_asked_to() -> None:
    first, second = related(80, (5, 4))
    models = {"a": first.numpy(), "b": second.numpy()}
    asked = ["linear_cka", "mean_cca", "magnitude_difference"]
    plain = samemind.compare(models, measures=asked).scores
    assert not {"calibrated", "limit"} & set(plain)
    table = samemind.compare(models, measures=asked, calibrate=True, extrapolate=True).scores
    rows = table.set_index("measure")
    member = MEASURES["linear_cka"]
    pair = member.pair(first, second)
    expected = member.calibrated(pair)
    assert expected is not None
    assert rows.loc["linear_cka", "calibrated"] == pytest.approx(expected.score)
    assert rows.loc["linear_cka", "p_value"] == expected.p_value < 1e-4
    assert rows.loc["mean_cca", "p_value"] == 1 / 200  # of 199 shuffles: it has no closed form
    drift = extrapolate(pair, member)
    assert rows.loc["linear_cka", "score_half"] == pytest.approx(drift.half)
    assert rows.loc["linear_cka", "limit"] == pytest.approx(drift.limit)
    assert rows.loc["linear_cka", "is_moving"] == drift.is_moving
    assert np.isnan(rows.loc["magnitude_difference", "calibrated"])  # there is no floor
