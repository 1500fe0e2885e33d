"""The verdict on studies: out of distribution, by training set, and what it rests on."""

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from samemind.figures.evidence import trend_table, verdicts
from samemind.reporting.report import without_nan
from samemind.reporting.tables import trends
from samemind.reporting.together import together
from samemind.statistics.verdict import ANSWERS
from simulated_results import ARCHITECTURES, simulated


def of_docs(name):
    """A module of the documentation's own, which is no package."""
    path = Path(__file__).parents[1] / "docs" / "_extension" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look for their module there
    spec.loader.exec_module(module)
    return module


simulations = of_docs("verdicts")


def by_aspect(results):
    return {verdict.aspect: verdict for _, verdict in verdicts(results)}


@pytest.fixture(scope="module")
def own():
    return simulated(dataset="cifar10")


@pytest.fixture(scope="module")
def away():
    return simulated(dataset="cifar10", inputs_dataset="sat6", name="ood")


def test_a_study_out_of_distribution_has_sentences_of_its_own_and_no_false_reason(away):
    found = by_aspect(away)
    assert set(found) == {
        "Predictions on sat6", "Representations on sat6", "Representation mechanisms on sat6",
    }  # fmt: skip
    assert {verdict.answer for verdict in found.values()} == {"converging"}
    for verdict in found.values():
        assert "draw this study together with one that has them" in verdict.sentence
    # Accuracies on satellite images say nothing: the floor is that of shuffled rows.
    agreement = found["Predictions on sat6"].evidence[0]
    assert (agreement.measure, agreement.floor_is) == ("agreement", "its floor")


def test_out_of_distribution_is_compared_with_the_models_own_inputs(own, away):
    both = together([own, away])
    same = by_aspect(both)["Representation mechanisms on sat6"]
    assert by_aspect(both).keys() >= {"Predictions", "Representation mechanisms"}
    # The two simulated studies have other noise and the same models.
    assert "Beside inputs of cifar10 itself, the change with robustness is the same" in same.note
    assert {item.answer("change") for item in same.contrasts} == {"alike"}
    assert all(item.units == tuple(sorted(ARCHITECTURES)) for item in same.contrasts)
    steeper = simulated(dataset="cifar10", inputs_dataset="sat6", name="ood", rise=0.65)
    steeper = replace(steeper, models=own.models)
    found = by_aspect(together([own, steeper]))["Representation mechanisms on sat6"]
    assert {item.answer("change") for item in found.contrasts} == {"larger"}
    assert {item.answer("level") for item in found.contrasts} == {"larger"}
    first = found.contrasts[0]
    assert first.change.lower > 0
    assert f"{first.change.value:+.2f} (95 % CI" in found.note
    # At half of it the test is as the interval: below 0.05 where that leaves out 0.
    assert first.p_change < 0.05
    assert first.change.value == pytest.approx(0.25 * 0.9, abs=0.05)


def test_the_size_of_the_training_set_has_a_sentence_where_studies_are_drawn_together():
    large = simulated(dataset="imagenet1k", name="large")
    large = replace(large, classes={"imagenet1k": 1000})
    small = simulated(dataset="imagenet50", name="small", rise=0.6)
    small = replace(small, classes={"imagenet50": 50})
    found = verdicts(together([small, large]))
    place, verdict = found[-1]
    assert place == "imagenet1k and subsets"
    assert verdict.aspect == "Training on imagenet50 instead of imagenet1k"
    assert verdict.answer == "differs"
    assert "of representation mechanisms, the change with robustness is larger" in verdict.words
    assert "Training on" not in " ".join(by_aspect(large))
    few = ("residual", "dense", "vgg")
    less = simulated(dataset="imagenet50", architectures=few, name="few")
    less = replace(less, classes={"imagenet50": 50})
    missing = verdicts(together([large, less]))[-1][1]
    assert missing.answer == "none"
    assert "it has 3" in missing.sentence


def test_a_verdict_names_the_models_that_it_rests_on_where_they_are_not_all():
    study = simulated(absent=[("dense", 0.25), ("vgg", 1.0)])
    for verdict in by_aspect(study).values():
        assert verdict.note == (
            "It rests on the 5 that every ε has: aggregated, deep_residual, residual, vit and "
            "wide_residual."
        )
        assert set(verdict.evidence[0].trend.units) == {
            "aggregated", "deep_residual", "residual", "vit", "wide_residual",
        }  # fmt: skip
    assert all(verdict.note == "" for verdict in by_aspect(simulated()).values())


def test_the_record_for_machines_is_plain_json_with_every_number(own):
    for _, verdict in verdicts(own):
        record = json.loads(json.dumps(without_nan(verdict.as_record()), allow_nan=False))
        assert record["answer"] == verdict.answer
        for of_measure, item in zip(record["measures"], verdict.evidence, strict=True):
            assert of_measure["change"]["lower"] == item.trend.change.lower
            assert of_measure["models"] == sorted(ARCHITECTURES)
            assert of_measure["ceiling_is"] in (
                "identical models",
                "the most that accuracies allow",
            )
            assert set(of_measure) >= {
                "p_value", "p_value_corrected", "level", "floor", "floor_is", "ceiling",
                "direction", "standing", "first", "last", "last_minus_first",
            }  # fmt: skip
    alone = without_nan({"a": [float("nan"), (1.0, float("inf"))], "b": "nan"})
    assert alone == {"a": [None, [1.0, None]], "b": "nan"}


def test_the_table_of_trends_tells_the_difference_and_counts_the_scores(own):
    table = trends(own).frame
    seven = 7 * 6 // 2 * 4
    counts = table.set_index(["Inputs", "Measure"])["n pairs"]
    # Pairs at four ε; on inverted images each pair both ways.
    assert counts["natural", "linear_cka"] == seven
    assert counts["inverted", "linear_cka"] == 2 * seven
    pd.testing.assert_series_equal(
        table["Last − first"], table["Last"] - table["First"], check_names=False
    )
    assert (table["Last − first"] != table["Change"]).any()
    rows = trend_table(simulated(absent=[("dense", 0.25)], random_seeds=(0, 1)))
    alone = rows[(rows["measure"] == "linear_cka") & (rows["inputs"] == "natural")]
    by_models = alone.set_index("models")["n_pairs"]
    # Two seeds: four scores for each pair of architectures and ε, the pair of seeds left out.
    assert by_models["all"] == 4 * (3 * 21 + 15)
    assert by_models["present at every ε"] == 4 * 4 * 15


def test_the_table_of_simulated_studies_has_a_row_for_each_truth():
    lines = simulations.TABLE.read_text(encoding="utf-8").splitlines()
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines[2:]] == [
        truth.name for truth in simulations.TRUTHS
    ]
    few = simulations.shares(simulations.TRUTHS[0], 7, 4, 25)
    assert few == {"converging": 1.0}
    assert set(simulations.shares(simulations.TRUTHS[5], 4, 2, 25)) <= set(ANSWERS)


@pytest.mark.slow
@pytest.mark.parametrize("row", range(9))
def test_the_table_of_simulated_studies_is_current(row):
    truth = simulations.TRUTHS[row]
    line = simulations.TABLE.read_text(encoding="utf-8").splitlines()[2 + row]
    for size, told in zip(simulations.SIZES, line.strip("| ").split(" | ")[1:], strict=True):
        found = simulations.shares(truth, *size, simulations.STUDIES)
        written = {}
        for entry in told.split(", "):
            name, percent = entry.rsplit(" ", 1)
            written[name] = int(percent) / 100
        # Another processor may round one study in a hundred to the other side.
        for name in {*found, *written}:
            assert found.get(name, 0) == pytest.approx(written.get(name, 0), abs=0.02)


def test_the_documentation_has_the_answers_as_they_are_given():
    text = (simulations.TABLE.parent / "verdict.md").read_text(encoding="utf-8")
    for answer, when in ANSWERS.items():
        assert f"| {answer} | {when} |\n" in text
