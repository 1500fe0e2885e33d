"""Arms at matched accuracy: what is planted is found, and what is not is not claimed."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from samemind.axis import Axis
from samemind.cli import app
from samemind.commands.arms import tell
from samemind.errors import InvalidInput
from samemind.reporting.arms import arms_of, arms_table, draw_arms, settings_in
from samemind.statistics import PairScores
from samemind.statistics.arms import Arm, matched
from simulated_results import simulated

ACCURACIES, SCORES = np.array([0.9, 0.8, 0.6]), np.array([0.4, 0.5, 0.8])


def arm(accuracies, scores, draws=None, *, units: int = 8, own=None) -> Arm:
    """An arm with these mean accuracies and scores, and models that differ from them."""
    levels = len(scores)
    own = np.zeros(units) if own is None else own
    at_levels = np.zeros((levels, units))
    errors, off = np.zeros((levels, units, units)), np.zeros((levels, units))
    if draws is not None:
        at_levels = draws.normal(0, 0.03, (levels, units))
        errors = draws.normal(0, 0.02, (levels, units, units))
        off = draws.normal(0, 0.01, (levels, units))
    loading = own + at_levels
    held = np.asarray(scores)[:, None, None] + loading[:, :, None] + loading[:, None, :]
    held = held + (errors + errors.transpose(0, 2, 1)) / 2
    held[:, np.arange(units), np.arange(units)] = np.nan
    names = tuple(f"model {i}" for i in range(units))
    pairs = PairScores(held, tuple(map(float, range(levels))), names)
    return Arm(pairs, np.asarray(accuracies)[:, None] + off)


def test_without_noise_the_difference_is_the_one_worked_out_by_hand():
    # 0.85 lies half-way between two levels: 0.45. 0.65 a quarter of the way: 0.725.
    found = matched(arm(ACCURACIES, SCORES), arm([0.85, 0.65, 0.95], [0.45, 0.6, 0.4]))
    assert [m.reference for m in found[:2]] == pytest.approx([0.45, 0.725])
    assert [m.difference.value for m in found[:2]] == pytest.approx([0, -0.125], abs=1e-12)
    assert found[2].reason == "outside the accuracies of the reference, 0.600 to 0.900"
    assert np.isnan(found[2].difference.value)


def test_the_error_is_that_of_leaving_out_each_model_from_both_arms():
    draws = np.random.default_rng(1)
    reference, other = arm(ACCURACIES, SCORES, draws), arm([0.7], [0.6], draws)
    units = range(8)
    whole = matched(reference, other)[0].difference
    without = []
    for left in units:
        kept = np.array([i for i in units if i != left])
        parts = [
            Arm(
                PairScores(
                    a.pairs.scores[:, kept][:, :, kept], a.pairs.levels,
                    tuple(a.pairs.units[i] for i in kept),
                ),
                a.accuracies[:, kept],
            )
            for a in (reference, other)
        ]  # fmt: skip
        without.append(matched(*parts)[0].difference.value)
    pseudo = 8 * whole.value - 7 * np.array(without)
    assert whole.standard_error == pytest.approx(pseudo.std(ddof=1) / 8**0.5)
    # Models of one arm only do not count.
    names = (*other.pairs.units[:-1], "another")
    renamed = Arm(replace(other.pairs, units=names), other.accuracies)
    assert matched(reference, renamed)[0].difference.n == 7


@pytest.mark.parametrize("planted", [0.0, 0.1])
def test_intervals_hold_what_is_planted_in_about_95_percent(planted: float):
    draws = np.random.default_rng(2)
    held = found_something = 0
    runs = 300
    for _ in range(runs):
        own = draws.normal(0, 0.05, 8)  # of a model, in both arms alike
        reference = arm(ACCURACIES, SCORES, draws, own=own)
        # At 0.7 the reference is at 0.65.
        other = arm([0.7], [0.65 + planted], draws, own=own)
        interval = matched(reference, other)[0].difference.interval()
        held += interval.lower <= planted <= interval.upper
        found_something += interval.lower > 0 or interval.upper < 0
    assert 0.91 <= held / runs <= 0.99
    if planted:
        assert found_something / runs > 0.5


@pytest.fixture(scope="module")
def studies():
    robust = simulated(name="robust", measures=["linear_cka"], epsilons=(0, 0.5, 1))
    noisy = simulated(name="noisy", measures=["linear_cka"], epsilons=(0, 0.25), random_seed=1)
    noisy = replace(
        noisy,
        axis=Axis("noise", "noise σ", "σ"),
        models=noisy.models.assign(trained_epsilon=0.0),
    )
    return robust, noisy


def test_the_table_has_a_row_for_each_level_beside_the_first_study(studies):
    table = arms_table(studies)
    assert list(table["place"]) == ["σ = 0", "σ = 0.25"] * 2
    assert set(table["inputs"]) == {"natural", "inverted"}
    assert (table["arm"] == "noisy").all()
    row = table[table["reason"].isna()].iloc[0]
    assert row["difference"] == pytest.approx(row["score"] - row["reference_score"])
    assert row["lower"] < row["difference"] < row["upper"]
    # The score is the plain mean over pairs of that level.
    noisy = studies[1].defined
    level = noisy[(noisy["inputs"] == row["inputs"]) & (noisy["epsilon"] == 0)]
    first = table[(table["inputs"] == row["inputs"]) & (table["place"] == "σ = 0")].iloc[0]
    assert first["score"] == pytest.approx(level["score"].mean())
    accuracies = studies[1].models
    expected = accuracies[accuracies["epsilon"] == 0]["clean_accuracy"].mean()
    assert first["accuracy"] == pytest.approx(expected)


def test_arms_are_drawn_by_accuracy_with_a_line_each(studies):
    drawing = draw_arms(studies)
    axis = drawing.axes[0]
    setting = settings_in(studies)[0]
    for line, held in zip(axis.get_lines(), arms_of(studies, setting).values(), strict=True):
        accuracies, scores = held.curve(np.arange(len(held.pairs.units)))
        np.testing.assert_allclose(np.sort(line.get_xdata()), 100 * np.sort(accuracies))
        np.testing.assert_allclose(np.sort(line.get_ydata()), np.sort(scores))
    words = [text.get_text() for text in drawing.legends[0].get_texts()]
    assert words == ["robust, along ε", "noisy, along noise σ"]


def test_what_are_no_arms_is_told(studies):
    with pytest.raises(InvalidInput, match="two studies or more, each of its own name"):
        arms_table(studies[:1])
    with pytest.raises(InvalidInput, match="shares no measure on inputs of one dataset"):
        arms_table(studies, ["knn_jaccard"])
    with pytest.raises(InvalidInput, match=r"of shape \(2, 8\)"):
        Arm(arm(ACCURACIES, SCORES).pairs, np.zeros((2, 8)))


def test_the_command_tells_rows_and_reasons_and_writes_table_and_figure(studies, tmp_path, capsys):
    tell(studies, ["linear_cka"], tmp_path / "out")
    table = pd.read_csv(tmp_path / "out" / "arms.csv")
    np.testing.assert_allclose(table["difference"], arms_table(studies)["difference"])
    told = capsys.readouterr().out
    assert "nan" not in told
    for reason in set(table["reason"].dropna()):
        assert f"noisy, σ = 0.25: {reason}." in told or f"noisy, σ = 0: {reason}." in told
    assert (tmp_path / "out" / "arms.pdf").read_bytes().startswith(b"%PDF")
    assert (tmp_path / "out" / "arms.png").stat().st_size > 5000


def test_the_command_says_what_is_not_finished(tmp_path):
    done = CliRunner().invoke(app, ["arms", "digits", "cifar10", "--store", str(tmp_path)])
    assert done.exit_code != 0
    assert "has no finished comparison" in str(done.exception)
