"""The report: complete or absent, with the data it was given, and nothing else touched."""

import base64
import io
import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from samemind.errors import InvalidInput
from samemind.reporting import write_report
from samemind.reporting.embedded import embedded
from samemind.reporting.fingerprint import fingerprint_of, is_current
from samemind.reporting.page import counts_of, page_of
from samemind.reporting.placing import put_in_place
from samemind.reporting.report import drawing_plan
from samemind.reporting.sheets import TILES, sheets_of, tile_of
from samemind.reporting.shown import shown_on_page
from samemind.reporting.tables import Table, accuracies, escape_latex, tables_of, write_table
from simulated_results import simulated


@pytest.fixture(scope="module")
def study():
    return simulated(
        architectures=("residual", "dense", "vgg", "vit"), epsilons=(0.0, 1.0),
        measures=("linear_cka",), absent=[("vit", 0.0)],
    )  # fmt: skip


@pytest.fixture(scope="module")
def report(study, tmp_path_factory):
    return write_report(study, tmp_path_factory.mktemp("runs") / "report")


def test_a_report_has_every_file_that_it_promises(report, study):
    folder = report.parent
    assert {path.name for path in folder.iterdir()} == {
        "index.html", "figures", "tables", "scores.parquet", "models.parquet", "study.toml",
        "environment.json", "verdict.json", "report.json",
    }  # fmt: skip
    assert (folder / "study.toml").read_text() == study.study_text
    assert (folder / "environment.json").stat().st_size > 10
    pngs = {path.stem for path in (folder / "figures").glob("*.png")}
    assert pngs == {path.stem for path in (folder / "figures").glob("*.pdf")}
    assert {"similarity_by_epsilon", "mechanisms-common-models", "gallery", "trends"} <= pngs


def test_scores_are_written_as_they_were_given(report, study):
    written = pd.read_parquet(report.parent / "scores.parquet")
    pd.testing.assert_frame_equal(written, study.scores, check_dtype=False)


@pytest.fixture
def small():
    """What makes few figures."""
    study = simulated(architectures=("residual", "dense"), epsilons=(1.0,), has_extras=True)
    bare = replace(study, contributions=None, probes=None, layers=None, gallery=())
    return bare.only(measure="linear_cka", inputs="natural")


def test_a_report_is_replaced_by_the_next_one_and_equal_results_give_equal_bytes(small, tmp_path):
    (tmp_path / "b").mkdir()
    first = write_report(small, tmp_path / "a").parent
    (tmp_path / "b" / "scores.parquet").write_bytes(b"of another report")
    second = write_report(small, tmp_path / "b").parent
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
    assert (first / "subgroups.parquet").is_file()
    for file in sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file()):
        assert (first / file).read_bytes() == (second / file).read_bytes(), file


def test_a_report_that_would_come_out_the_same_is_not_drawn_again(report, study):
    drawn = []
    before = report.stat().st_mtime_ns
    write_report(study, report.parent, on_progress=lambda *step: drawn.append(step))
    assert drawn == []
    assert report.stat().st_mtime_ns == before


@pytest.mark.parametrize("harm", [
    lambda folder: (folder / "figures" / "trends.png").unlink(),
    lambda folder: (folder / "report.json").write_text("{"),
    lambda folder: (folder / "index.html").write_text("<p>edited</p>"),
])  # fmt: skip
def test_a_report_that_lost_something_is_drawn_again(report, study, tmp_path, harm):
    copy = tmp_path / "report"
    shutil.copytree(report.parent, copy)
    fingerprint = fingerprint_of(study)
    assert is_current(copy, fingerprint)
    harm(copy)
    assert not is_current(copy, fingerprint)


def test_other_results_have_another_fingerprint(study):
    scores = study.scores.copy()
    scores.loc[0, "score"] += 1e-12
    found = {fingerprint_of(study), fingerprint_of(replace(study, scores=scores)),
             fingerprint_of(replace(study, gallery=study.gallery[1:])),
             fingerprint_of(replace(study, name="another"))}  # fmt: skip
    assert len(found) == 4


def test_a_folder_that_is_not_a_report_is_left_alone(study, tmp_path):
    (tmp_path / "thesis.txt").write_text("three years of work")
    with pytest.raises(InvalidInput, match=r"holds 'thesis\.txt', which no report has"):
        write_report(study, tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "three years of work"


def test_pdfs_embed_their_fonts_as_truetype(report):
    for pdf in (report.parent / "figures").glob("*.pdf"):
        content = pdf.read_bytes()
        assert b"/FontFile2" in content  # TrueType outlines are in the file
        assert b"/Type3" not in content


def test_tables_say_the_same_in_csv_and_latex(report, study):
    tables = report.parent / "tables"
    names = {path.stem for path in tables.glob("*.csv")}
    assert names == {path.stem for path in tables.glob("*.tex")}
    assert names == {"accuracies-digits", "models", "pairs", "scores-summary", "trends"}
    summary = pd.read_csv(tables / "scores-summary.csv")
    row = summary[(summary["inputs"] == "natural") & (summary["epsilon"] == 1)].iloc[0]
    scores = study.scores[(study.scores["inputs"] == "natural") & (study.scores["epsilon"] == 1)]
    scores = scores[scores["measure"] == row["measure"]]["score"]
    assert row["median"] == pytest.approx(scores.median())
    text = (tables / "scores-summary.tex").read_text()
    assert f"{scores.median():.4f}" in text
    assert all(rule in text for rule in (r"\toprule", r"\midrule", r"\bottomrule"))


def test_latex_takes_every_character_literally():
    assert escape_latex(r"50 % of a_b & {c}\d") == (r"50 \% of a\_b \& \{c\}\textbackslash{}d")
    assert escape_latex("$~^#\n\n\x1b") == r"\$\textasciitilde{}\textasciicircum{}\#" + 3 * " "


def test_no_name_is_a_formula_in_a_spreadsheet(tmp_path):
    names = ["=cmd|'/C calc'!A0", "+1", "@sum(1)", "-a", "\t=1", "-1.5", "resnet", "ε = 0"]
    frame = pd.DataFrame({"model": names, "score": range(-4, 4)})
    write_table(Table("hostile", "A title", "A caption.", frame, {}), tmp_path)
    found = pd.read_csv(tmp_path / "hostile.csv")
    assert found["model"].tolist() == [f"'{name}" for name in names[:5]] + names[5:]
    assert found["score"].tolist() == list(range(-4, 4))


def test_weak_models_and_undefined_scores_are_counted_at_the_top(study, tmp_path):
    models = study.models.copy()
    models.loc[0, "is_weak"] = True
    scores = study.scores.copy()
    scores.loc[[1, 2], "score"] = float("nan")
    scores.loc[[1, 2], "reason"] = "The representation is <b>constant</b>."
    harmed = replace(study, models=models, scores=scores, contributions=None, gallery=())
    counts = counts_of(harmed)
    assert (counts["undefined"], len(counts["weak"])) == (2, 1)
    page = page_of(harmed, tables_of(harmed), [], [], tmp_path)
    top = page[: page.index("<main")]
    assert "2 of" in top
    assert "scores are undefined" in top
    assert "1 of 7 models are weak" in top
    assert "&lt;b&gt;constant&lt;/b&gt;" in top
    assert "*" in accuracies(harmed, "digits").texts()[0][2]
    weak = models.loc[0, "model"]
    for table in tables_of(harmed):
        assert f"Includes weak models: {weak}." in table.caption
    (summary,) = (t.frame for t in tables_of(harmed) if t.name == "scores-summary")
    involved = (harmed.scores["model_a"] == weak) | (harmed.scores["model_b"] == weak)
    assert summary["with a weak model"].sum() == involved.sum()
    for table in tables_of(study):
        assert "Includes weak" not in table.caption


HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\u2028"


def test_names_from_outside_cannot_become_markup(tmp_path):
    study = simulated(architectures=("residual", "vgg"), epsilons=(1.0,), has_extras=True)
    assert study.contributions is not None

    def rename(table):
        return table.map(lambda value: HOSTILE if value == "vgg" else value)

    harmed = replace(
        study, name=HOSTILE, scores=rename(study.scores), models=rename(study.models),
        study_text=HOSTILE, environment={HOSTILE: HOSTILE}, recipes={HOSTILE: HOSTILE},
        gallery=[replace(i, seed_label=HOSTILE, target_label=HOSTILE) for i in study.gallery],
        contributions=replace(
            study.contributions, table=study.contributions.table.assign(label=HOSTILE)
        ),
    )  # fmt: skip
    assert harmed.gallery
    page = page_of(harmed, tables_of(harmed), [], [], tmp_path)
    assert page.count("<script") == 2  # the data and the page's own
    assert "<img" not in page
    assert "\u2028" not in page[page.index('id="data"') :]


def test_a_file_in_the_place_of_the_report_is_left_alone(study, tmp_path):
    (tmp_path / "report").write_text("notes")
    with pytest.raises(InvalidInput, match="report is a file, no folder"):
        write_report(study, tmp_path / "report")


def test_a_report_that_cannot_be_written_says_so_and_leaves_the_old_one(study, tmp_path):
    (tmp_path / "blocked").write_text("not a folder")
    with pytest.raises(InvalidInput, match=r"report to .*blocked/report: .*blocked is a file"):
        write_report(study, tmp_path / "blocked" / "report")


def test_a_report_of_nothing_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="one study or more; none were given"):
        write_report([], tmp_path / "report")


def photographs(count, side=32):
    """Smooth colours with some noise: harder to compress than most photographs."""
    draws = np.random.default_rng(0)
    coarse = draws.random((count, 3, 4, 4)).repeat(side // 4, 2).repeat(side // 4, 3)
    return np.clip(coarse + draws.normal(0, 0.05, coarse.shape), 0, 1)


def decoded(sheets, key):
    """The tile of a key as a browser would cut it out."""
    number, tile = divmod(sheets.places[key], TILES)
    record = sheets.as_record()
    held = record["sheets"][number]
    content = base64.b64decode(held["address"].partition(",")[2])
    sheet = np.asarray(Image.open(io.BytesIO(content)))
    top, left = (held["side"] * at for at in divmod(tile, record["columns"]))
    return sheet[top : top + held["filled"], left : left + held["filled"]]


def test_images_are_kept_to_the_bit_where_there_is_room():
    images = dict(enumerate(photographs(300))) | {"digit": np.random.default_rng(1).random((8, 8))}
    sheets = sheets_of(list(images), images.__getitem__, most_characters=3_000_000)
    assert sheets.is_exact
    assert len(sheets.addresses) == 3
    for key, image in images.items():
        wanted = (image * 255).round()
        shown = wanted if wanted.ndim == 2 else np.moveaxis(wanted, 0, -1)
        assert (decoded(sheets, key) == shown).all()


def test_many_images_are_compressed_and_none_is_left_out():
    images = photographs(400)
    sheets = sheets_of(range(400), images.__getitem__, most_characters=300_000)
    assert not sheets.is_exact
    assert len(sheets.places) == 400
    assert sum(map(len, sheets.addresses)) <= 300_000
    for key in (0, 17, 399):
        error = decoded(sheets, key) / 255 - np.moveaxis(images[key], 0, -1)
        assert np.abs(error).mean() < 0.06


def test_of_too_many_images_the_last_are_left_out():
    images = photographs(400)
    sheets = sheets_of(range(400), images.__getitem__, most_characters=40_000)
    assert list(sheets.places) == list(range(len(sheets.places)))
    assert 20 < len(sheets.places) < 400
    assert sum(map(len, sheets.addresses)) <= 40_000
    assert sheets_of([], images.__getitem__, most_characters=10).addresses == []


def test_large_images_become_small_tiles_of_the_same_shape():
    wide = np.zeros((3, 100, 200))
    wide[0] = 1
    tile = tile_of(wide)
    assert tile.shape == (64, 64, 3)
    assert (tile[16:48, :, 0] == 255).all()
    assert (tile[:16] == 0).all()
    assert (tile[48:] == 0).all()


def test_the_page_has_the_inputs_at_both_ends_and_their_numbers(study):
    extended = simulated(architectures=("residual", "dense", "vgg"), has_extras=True)
    held = embedded(extended)
    table = extended.contributions.table
    [[row, least, most]] = held["driving"]["rows"]
    assert (least, most) == (6, 6)
    ranked = table.sort_values("contribution")["input"].tolist()
    assert held["driving"]["input"] == ranked[:6] + ranked[:-7:-1]
    assert extended.scores.iloc[row]["measure"] == "linear_cka"
    assert None not in held["driving"]["tile"]
    assert embedded(study)["driving"]["rows"] == []


def test_a_figure_that_is_too_large_for_the_page_is_named_instead(study, report, monkeypatch):
    monkeypatch.setattr("samemind.reporting.page.MOST_PICTURE_CHARACTERS", 30_000)
    drawn = [entry for _, _, entry in drawing_plan(study)]
    page = page_of(study, tables_of(study), drawn, [], report.parent / "figures")
    assert "Not on this page" in page
    assert 'href="figures/gallery.png"' in page
    assert len(page) < 30_000 + 3 * len(page_of(study, tables_of(study), [], [], report.parent))


# -- putting a report in place


def test_of_reports_that_come_at_once_one_is_there_whole_and_nothing_beside_it(tmp_path):
    out = tmp_path / "report"

    def write(number: int) -> None:
        for _ in range(25):
            with put_in_place(out) as draft:
                for name in ("a", "b"):
                    (draft / name).write_text(str(number))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    assert [path.name for path in tmp_path.iterdir()] == ["report"]
    assert (out / "a").read_text() == (out / "b").read_text()


def test_what_killed_processes_left_beside_a_report_is_removed(tmp_path):
    script = (
        "import os, sys; from pathlib import Path; "
        "from samemind.reporting.placing import put_in_place\n"
        "with put_in_place(Path(sys.argv[1])) as draft: (draft / 'a').mkdir(); os._exit(0)"
    )
    out = tmp_path / "report"
    subprocess.run([sys.executable, "-c", script, str(out)], check=True)
    left = [path.name for path in tmp_path.iterdir()]
    assert len(left) == 1
    other = tmp_path / ".report-draft-of-somebody-else"
    other.mkdir()
    with put_in_place(out) as draft:
        beside = {path.name for path in tmp_path.iterdir()}
        assert beside == {other.name, draft.name}
    assert {path.name for path in tmp_path.iterdir()} == {other.name, "report"}


# -- very many models


def test_the_page_of_very_many_models_says_what_it_leaves_out(study, tmp_path, monkeypatch):
    everything, nothing_left_out = shown_on_page(study)
    assert everything is study
    assert nothing_left_out == ""
    monkeypatch.setattr("samemind.reporting.shown.MOST_ROWS", 20)
    shown, left_out = shown_on_page(study)
    assert 0 < len(shown.main) <= 20
    assert "show the first 3 of 4 networks" in left_out
    assert f"({len(shown.main)} of {len(study.main)} scores)" in left_out
    # Of each network that is shown, every pair is there.
    names = {*shown.main["model_a"], *shown.main["model_b"]}
    assert {name.partition("-")[0] for name in names} == {"residual", "dense", "vgg"}
    rows = study.main
    assert len(shown.main) == (rows["model_a"].isin(names) & rows["model_b"].isin(names)).sum()
    page = page_of(study, tables_of(study), [], [], tmp_path)
    assert left_out in page
    held = json.loads(page.partition('id="data">')[2].partition("</script>")[0])
    assert len(held["scores"]["score"]) == len(shown.main)
