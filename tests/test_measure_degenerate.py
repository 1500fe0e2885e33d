"""Any arrays at all: every measure gives a number within its bounds, or says why there is none.

Small arrays of few different values have ties, duplicate inputs, dead units, collapsed models and
fewer inputs than units, which is where software invents scores.
"""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from samemind.errors import UndefinedScore
from samemind.measures import MEASURES, Measure
from samemind.measures.of_sets import SET_MEASURES

torch.set_num_threads(1)

VALUES = st.sampled_from([-2.0, -1.0, 0.0, 0.0, 0.0, 0.5, 1.0, 1.0, 3.0])
#: Rounding is carried through roots: 1e-16 becomes 1e-8.
SAME = 1e-6


@st.composite
def arrays(draw: st.DrawFn, n: int, widths: tuple[int, int] | None = None) -> np.ndarray:
    width = draw(st.integers(1, 5)) if widths is None else widths[0]
    drawn = draw(st.lists(VALUES, min_size=n * width, max_size=n * width))
    return np.array(drawn).reshape(n, width)


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two arrays of the same inputs, and labels that every second array of logits can have."""
    n = draw(st.integers(2, 9))
    labels = draw(st.lists(st.integers(0, 1), min_size=n, max_size=n))
    return draw(arrays(n)), draw(arrays(n)), np.array(labels)


def score(member: Measure, first: np.ndarray, second: np.ndarray, labels: np.ndarray) -> float:
    return member(first, second, labels=labels if member.needs_labels else None)


def score_or_reason(member: Measure, *case: np.ndarray) -> float | str:
    try:
        return score(member, *case)
    except UndefinedScore as why:
        return str(why)


def hold(member: Measure, case: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    first, second, labels = case
    if member.parameter == "k":
        member = member.at(2)
    if member.reads == "logits":
        width = max(first.shape[1], second.shape[1], 2)
        first, second = (
            np.pad(values, ((0, 0), (0, width - values.shape[1]))) for values in (first, second)
        )
    found = score_or_reason(member, first, second, labels)
    if isinstance(found, str):
        assert "mistake in samemind" not in found
        assert found.endswith(".")
        return
    low, high = member.bounds
    assert low <= found <= high
    if member.is_symmetric:
        turned = score(member, second, first, labels)
        assert turned == pytest.approx(found, rel=SAME, abs=SAME)
    pair = member.pair(first, second, labels=labels)
    contributions = member.contributions(pair)
    if contributions is not None:
        assert float(contributions.mean()) == pytest.approx(found, rel=SAME, abs=SAME)
    error = member.standard_error(pair)
    assert error is None or (np.isfinite(error) and error >= 0)
    own = score_or_reason(member, first, first, labels)
    if member.identical is not None and not isinstance(own, str):
        assert own == pytest.approx(member.identical, abs=SAME)


@pytest.mark.parametrize("name", sorted(MEASURES))
def test_models_that_are_exactly_uncorrelated_have_sound_scores(name: str) -> None:
    first = np.array([[-2.0], [-2.0], [0.0], [1.0], [3.0], [3.0]])
    second = np.array([[-2.0], [1.0], [-2.0], [-2.0], [-2.0], [1.0]])
    assert ((first - first.mean(0)) * (second - second.mean(0))).sum() == 0
    hold(MEASURES[name], (first, second, np.array([0, 1, 0, 0, 0, 1])))


@settings(max_examples=100, deadline=None)
@given(name=st.sampled_from(sorted(MEASURES)), case=cases())
def test_a_score_is_sound_or_its_absence_is_explained(
    name: str, case: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    hold(MEASURES[name], case)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(MEASURES))
@settings(max_examples=200, deadline=None)
@given(case=cases())
def test_every_measure_is_sound_or_explains_itself_two_hundred_times(
    name: str, case: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    hold(MEASURES[name], case)


@settings(max_examples=200, deadline=None)
@given(name=st.sampled_from(sorted(SET_MEASURES)), data=st.data())
def test_measures_of_sets_are_sound_in_any_order(name: str, data: st.DataObject) -> None:
    n, width = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 4))
    models = data.draw(st.lists(arrays(n, (width, width)), min_size=2, max_size=4))
    member = SET_MEASURES[name]
    try:
        found = member(models)
    except UndefinedScore:
        return
    assert member.bounds[0] - 1e-12 <= found <= member.bounds[1] + 1e-12
    assert member(models[::-1]) == pytest.approx(found, abs=1e-12)
