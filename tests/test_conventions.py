"""`[comparison] convention`: which reading of CKA, Procrustes and JSD figures and verdict use."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import rel_entr, softmax

from samemind.errors import InvalidInput
from samemind.figures.base import FIGURES
from samemind.figures.evidence import verdicts
from samemind.measures.base import MEASURES
from samemind.measures.conventions import CONVENTIONS, QUANTITIES
from samemind.reporting import report
from samemind.reporting.conventions import by_convention
from samemind.reporting.together import together
from samemind.study import read_study, study_path
from simulated_results import FLOORS, simulated

READINGS = tuple(name for readings in QUANTITIES.values() for name in readings)
PAPER = [name for name, figure in FIGURES.items() if figure.quantities]


@pytest.fixture(scope="module")
def every_reading():
    """A study with every reading, of which those as printed fall and the others rise."""
    study = simulated(measures=tuple(dict.fromkeys((*FLOORS, *READINGS))))
    printed = set(CONVENTIONS["as_printed"].measures)
    falls = study.scores["measure"].isin(printed)
    turned = study.scores["floor"] + 1 - study.scores["score"]
    scores = study.scores.assign(score=study.scores["score"].where(~falls, turned))
    return replace(study, scores=scores)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_every_reading_of_a_convention_is_a_measure_where_more_is_more_alike(convention):
    for name in CONVENTIONS[convention].measures:
        assert MEASURES[name].larger_is_more_similar
        assert MEASURES[name].identical == 1


@pytest.mark.parametrize("name", PAPER)
@pytest.mark.parametrize("convention", CONVENTIONS)
def test_figures_show_the_readings_of_the_convention_and_say_so(name, convention, every_reading):
    study = every_reading
    if name in ("out_of_distribution", "dataset_size"):
        places = (("set10", None), ("set5", None), ("set10", "away"))
        measures = (*FLOORS, *READINGS)
        study = together(
            [simulated(dataset=d, measures=measures, inputs_dataset=i) for d, i in places]
        )
    study = replace(study, convention=convention)
    member = FIGURES[name]
    drawing = member(study)
    labels = {
        "linear_cka": "Linear CKA",
        "debiased_linear_cka": "Linear CKA (debiased)",
        "procrustes_similarity": "ProcrustesSim",
        "procrustes_similarity_root": "ProcrustesSim (root)",
        "jensen_shannon_similarity": "JSDSim",
        "jeffreys_similarity": "JSDSim (as printed)",
    }
    titles = {axis.get_title(loc="left").strip() for axis in drawing.axes}
    for quantity in member.quantities:
        for reading in QUANTITIES[quantity]:
            is_read = reading == getattr(CONVENTIONS[convention], quantity)
            assert (labels[reading] in titles) is is_read, (reading, titles)
    assert CONVENTIONS[convention].title in member.caption(study)
    noted = drawing.get_suptitle()
    assert (CONVENTIONS[convention].title in noted.replace("\n", " ")) is (
        convention != "recommended"
    )


def test_the_verdict_rests_on_the_readings_of_the_convention(every_reading, tmp_path, monkeypatch):
    for convention in CONVENTIONS.values():
        study = replace(every_reading, convention=convention.name)
        found = {verdict.aspect: verdict for _, verdict in verdicts(study)}
        rests_on = {item.measure for verdict in found.values() for item in verdict.evidence}
        assert rests_on & set(READINGS) == set(convention.measures)
        mechanisms = {item.measure: item.direction
                      for item in found["Representation mechanisms"].evidence}  # fmt: skip
        expected = "down" if convention.name == "as_printed" else "up"
        assert mechanisms[convention.cka] == mechanisms[convention.procrustes] == expected
    monkeypatch.setattr(report, "drawing_plan", lambda _: [])  # 34 figures take half a minute
    page = report.write_report(replace(every_reading, convention="as_printed"), tmp_path / "report")
    stated = json.loads((page.parent / "verdict.json").read_text())
    assert {record["convention"] for record in stated} == {"as_printed"}
    assert "CKA is the biased estimator" in page.read_text(encoding="utf-8")
    assert (page.parent / "tables" / "conventions.tex").is_file()


def test_the_table_sets_the_conventions_side_by_side(every_reading):
    frame = by_convention(every_reading).frame
    assert list(frame.columns) == [
        "Aspect", "Quantity", "As printed", "Authors' code", "Recommended",
    ]  # fmt: skip
    cells = frame.set_index(["Aspect", "Quantity"])
    row = cells.loc[("Representation mechanisms", "Linear CKA")]
    assert row["As printed"].startswith("linear_cka: ")
    assert ", down by −" in row["As printed"]
    assert row["Authors' code"].startswith("debiased_linear_cka: ")
    assert ", up by +" in row["Authors' code"]
    assert cells.loc[("Representation mechanisms", "Answer"), "As printed"] == "mixed"
    assert cells.loc[("Representation mechanisms", "Answer"), "Recommended"] == "converging"
    assert not len(by_convention(simulated()).frame)  # it has one reading of JSD and Procrustes


def test_a_recommended_reading_that_is_not_there_has_a_stand_in_and_others_have_none():
    study = simulated(measures=("agreement", "linear_cka", "knn_jaccard"))
    caption = FIGURES["mechanisms"].caption(study)
    assert "CKA is the biased estimator" in caption
    assert "debiased" not in caption
    assert FIGURES["mechanisms"].readings(replace(study, convention="authors_code")) == ""


def test_studies_of_two_conventions_are_not_drawn_together():
    other = replace(simulated(dataset="cifar10", name="other"), convention="as_printed")
    with pytest.raises(InvalidInput, match="'simulated' as 'recommended' and 'other' as"):
        together([simulated(), other])


def study_with(tmp_path, lines, *, measures=True):
    text = study_path("digits").read_text(encoding="utf-8")
    before, _, after = text.partition("[comparison]\n")
    after = after if measures else after[after.index("]") + 1 :]
    path = tmp_path / "digits.toml"
    path.write_text(f"{before}[comparison]\n{lines}\n{after}", encoding="utf-8")
    return read_study(path)


def test_a_convention_changes_no_artifact(tmp_path):
    plain, read = read_study("digits"), study_with(tmp_path, 'convention = "authors_code"')
    assert read.comparison.convention == "authors_code"
    assert [s.name for s in read.scores] == [s.name for s in plain.scores]


def test_a_convention_brings_its_measures_or_says_which_are_missing(tmp_path):
    printed = 'convention = "as_printed"'
    without = study_with(tmp_path, printed, measures=False)
    assert set(CONVENTIONS["as_printed"].measures) <= set(without.comparison.measures)
    with pytest.raises(InvalidInput, match="reads jeffreys_similarity, procrustes_similarity_root"):
        study_with(tmp_path, printed)
    with pytest.raises(InvalidInput, match="Did you mean 'as_printed'"):
        study_with(tmp_path, 'convention = "as printed"')


def test_equation_2_as_printed_is_scaled_as_the_paper_scales_it():
    logits = 2 * np.random.default_rng(0).normal(size=(2, 50, 4))
    p, q = softmax(logits, axis=2)
    divergence = (rel_entr(p, q).sum(1) + rel_entr(q, p).sum(1)).mean() / 2
    found = MEASURES["jeffreys_similarity"](*logits)
    assert found == pytest.approx((np.log(2) - divergence) / np.log(2), abs=1e-6)
    assert found < 0  # far from [0, 1]: the printed scaling is no similarity of that range
