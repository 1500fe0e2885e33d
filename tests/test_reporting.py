"""The report: complete or absent, with the data it was given, and nothing else touched."""

import pandas as pd
import pytest

from samemind.errors import InvalidInput
from samemind.reporting import write_report
from simulated_results import simulated


@pytest.fixture(scope="module")
def study():
    return simulated(
        architectures=("residual", "dense", "vgg", "vit"), epsilons=(0.0, 1.0),
        measures=("agreement", "linear_cka"), absent=[("vit", 0.0)],
    )  # fmt: skip


@pytest.fixture(scope="module")
def report(study, tmp_path_factory):
    return write_report(study, tmp_path_factory.mktemp("runs") / "report")


def test_a_report_has_every_file_that_it_promises(report, study):
    folder = report.parent
    assert {path.name for path in folder.iterdir()} == {
        "index.html", "figures", "tables", "scores.parquet", "models.parquet", "study.toml",
        "environment.json", "verdict.json",
    }  # fmt: skip
    assert (folder / "study.toml").read_text() == study.study_text
    pngs = {path.stem for path in (folder / "figures").glob("*.png")}
    assert pngs == {path.stem for path in (folder / "figures").glob("*.pdf")}
    assert {"similarity_by_epsilon", "predictions_natural", "gallery", "trends"} <= pngs


def test_scores_are_written_as_they_were_given(report, study):
    written = pd.read_parquet(report.parent / "scores.parquet")
    pd.testing.assert_frame_equal(written, study.scores, check_dtype=False)


def test_a_report_is_replaced_by_the_next_one(study, tmp_path):
    small = study.only(measure="agreement", epsilon=[0.0, 1.0])
    first = write_report(small, tmp_path / "report")
    second = write_report(small.only(inputs="natural"), tmp_path / "report")
    assert first == second
    assert len(pd.read_parquet(second.parent / "scores.parquet")) < len(small.scores)
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


def test_a_folder_that_is_not_a_report_is_left_alone(study, tmp_path):
    (tmp_path / "thesis.txt").write_text("three years of work")
    with pytest.raises(InvalidInput, match=r"holds 'thesis\.txt', which no report has"):
        write_report(study, tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "three years of work"
