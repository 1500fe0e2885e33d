"""The page on one's own models, and that of a study with one ε: nothing empty, nothing false."""

import re

import numpy as np
import pytest

import samemind
from samemind.figures.base import FIGURES
from samemind.reporting.page import page_of
from samemind.reporting.report import drawing_plan
from samemind.reporting.tables import tables_of
from simulated_results import simulated

N, CLASSES = 120, 4
FALSE_OF_A_COMPARISON = (
    "trained on", "ordered pair", "second ε", "no verdict", "weak", "Trends over ε", "of the study",
    "There is one ε", "ε = ", 'id="verdict"', "recipe it was made by", "Figures that this study",
)  # fmt: skip


def given(n_models: int):
    """Predictions that are right on nine inputs of ten, each model's own mistakes."""
    draws = np.random.default_rng(0)
    labels = draws.integers(0, CLASSES, N)
    found = {}
    for i in range(n_models):
        said = np.where(draws.random(N) < 0.9, labels, draws.integers(0, CLASSES, N))
        found[f"model {'abc'[i]}"] = samemind.Side(
            representation=draws.normal(size=(N, 6)) + np.eye(6)[labels],
            logits=3 * np.eye(CLASSES)[said] + draws.normal(size=(N, CLASSES)) / 10,
        )
    return found, labels


@pytest.fixture(scope="module", params=[2, 3])
def comparison(request):
    models, labels = given(request.param)
    return samemind.compare(models, labels=labels, permutations=0)


def page(study, tmp_path):
    return page_of(study, tables_of(study), [], [], tmp_path)


def sections(text):
    return re.findall(r'<section id="(\w+)"', text)


def visible(text):
    """The page without its style, script and data."""
    return re.sub(r"<(style|script)[^>]*>.*?</\1>", "", text, flags=re.DOTALL)


def test_a_comparison_says_the_answer_first_then_flips_then_pairs(comparison, tmp_path):
    text = page(comparison, tmp_path)
    assert sections(text)[:3] == ["answers", "flips", "explore"]
    one = comparison.replacements[0]
    low, high = (100 * end for end in one.swap.negative_interval)
    first = text[text.index('id="answers"') : text.index('id="flips"')]
    assert "Can model b take the place of model a?" in first
    assert f'<p class="badge">{one.swap.answer(0.01)}</p>' in first
    assert f"(exact 95 % interval {low:.2f} to {high:.2f} %)" in first
    flips = text[text.index('id="flips"') : text.index('id="explore"')]
    assert flips.index("Flips by class") < flips.index("from right to wrong, model b in the place")


def test_a_comparison_says_nothing_false_and_has_no_empty_section(comparison, tmp_path):
    text = visible(page(comparison, tmp_path))
    assert [words for words in FALSE_OF_A_COMPARISON if words in text] == []
    assert "Neither" not in text
    nav = re.findall(r'<a href="#(\w+)">', text)
    assert set(nav) - {"main"} == set(sections(text))
    count = len(comparison.models)
    assert f"{count} models on {N} inputs" in text
    assert "1 pair," in text if count == 2 else "3 pairs," in text


def test_a_comparison_draws_no_figure_about_what_models_were_trained_at(comparison):
    drawn = {member.name for member, _, _ in drawing_plan(comparison)}
    assert not drawn & {name for name, member in FIGURES.items() if member.is_of_study}
    assert ("heat_maps" in drawn) is (len(comparison.models) > 2)


def test_without_labels_there_is_no_answer_and_no_place_for_one(tmp_path):
    models, _ = given(2)
    text = page(samemind.compare(models, permutations=0), tmp_path)
    assert sections(text)[0] == "explore"
    assert "Answers" not in visible(text)


def test_a_study_with_one_epsilon_says_once_why_there_is_no_verdict(tmp_path):
    text = visible(page(simulated(epsilons=(0.5,)), tmp_path))
    assert "There is no verdict: it is on what changes with ε" in text
    assert "no verdict. The study would need" not in text
    assert "trends" not in sections(text)
    assert '<div class="cards">' not in text
    several = visible(page(simulated(), tmp_path))
    assert {"verdict", "trends"} <= set(sections(several))
