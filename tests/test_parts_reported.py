"""Measures of parts in a report: a sentence of the verdict for each part, and a figure."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from samemind.figures.base import FIGURES, Results
from samemind.figures.evidence import verdicts
from samemind.figures.needs import part_of
from simulated_results import simulated

WHOLE = "debiased_linear_cka"


@pytest.fixture(scope="module")
def taken_apart() -> Results:
    """A study whose models become alike within classes, and are alike between them throughout."""
    study = simulated(measures=("agreement", WHOLE))
    whole = study.scores[study.scores["measure"] == WHOLE]
    between = whole.assign(measure=f"{WHOLE}_between_classes")
    level = between.groupby("epsilon")["score"].transform("mean")
    between["score"] = 0.8 + 0.02 * (between["score"] - level)
    within = whole.assign(measure=f"{WHOLE}_within_classes")
    rows = [study.scores, between, within]
    return replace(study, scores=pd.concat(rows, ignore_index=True))


def test_the_verdict_has_a_sentence_for_each_part(taken_apart: Results):
    found = {verdict.aspect: verdict for _, verdict in verdicts(taken_apart)}
    within = found["Representations within classes"]
    between = found["Representations between classes"]
    assert within.answer == "converging"
    assert between.answer == "not converging"
    assert [e.measure for e in within.evidence] == [f"{WHOLE}_within_classes"]
    assert "within classes" in within.sentence
    # The sentence on the whole rests on measures of the whole.
    assert [e.measure for e in found["Representations"].evidence] == [WHOLE]
    assert "Representation mechanisms within classes" in found


def test_a_study_without_parts_has_no_sentence_of_them():
    found = [verdict.aspect for _, verdict in verdicts(simulated(measures=("agreement", WHOLE)))]
    assert not [aspect for aspect in found if aspect.endswith("classes")]


def test_the_figure_has_the_whole_beside_its_parts(taken_apart: Results):
    drawing = FIGURES["parts"](taken_apart)
    assert [text.get_text() for text in drawing.legends[0].get_texts()] == [
        "whole", "between classes", "within classes",
    ]  # fmt: skip
    assert len(drawing.axes) == 2  # natural and inverted inputs of one measure
    assert not FIGURES["parts"].missing(taken_apart)
    assert FIGURES["parts"].missing(simulated(measures=("agreement", WHOLE)))


def test_parts_are_told_by_the_names_of_measures():
    assert part_of("mutual_knn_within_classes@5") == "within_classes"
    assert part_of("procrustes_similarity_between_classes") == "between_classes"
    assert part_of("procrustes_similarity") == part_of("within_classes_of_note") == ""
