"""Tables for a paper: what they say, and that a real TeX sets them."""

import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from samemind.figures.style import measure_label
from samemind.reporting.pairs_table import frame_of, latex_of, write_pairs
from samemind.reporting.table import Table, latex
from samemind.reporting.tables import tables_of
from simulated_results import simulated

MEASURES = ("agreement", "linear_cka", "procrustes_similarity")
HOSTILE = r"50 % of a_b & {c}\d ~^#$ ε → σ ± ²"


def with_errors(results):
    """The same with a standard error of 0.0123, and a score that chance reaches."""
    scores = results.scores.assign(standard_error=0.0123, floor_p95=results.scores["floor"] + 0.05)
    lowest = scores[scores["inputs"] == "natural"]["score"].idxmin()
    scores.loc[lowest, "floor_p95"] = 1.0
    return replace(results, scores=scores)


@pytest.fixture(scope="module")
def few():
    results = simulated(
        architectures=("resnet18", "my_network", "vgg11"), epsilons=(0.0,), measures=MEASURES
    )
    return with_errors(results.only(inputs="natural"))


def cells(line):
    return [cell.strip() for cell in line.strip().removesuffix(r"\\").split(" & ")]


def test_pairs_have_scores_errors_and_floors_and_the_best_in_bold(few):
    text = latex_of(few)
    assert r"\label{tab:pairs}" in text
    lines = [cells(line) for line in text.splitlines() if line.endswith(r"\\")]
    assert lines[0] == ["Model a", "Model b", "Agreement", "Linear CKA", "ProcrustesSim"]
    body = {tuple(line[:2]): line[2:] for line in lines[1:4]}
    assert set(body) == {
        ("resnet18", r"my\_network"), ("resnet18", "vgg11"), (r"my\_network", "vgg11"),
    }  # fmt: skip
    for column, name in enumerate(MEASURES):
        part = few.main[few.main["measure"] == name]
        best = part.loc[part["score"].idxmax()]
        for record in part.to_dict("records"):
            pair = record["architecture_a"], record["architecture_b"]
            cell = body[tuple(one.replace("_", r"\_") for one in pair)][column]
            assert f"{record['score']:.3f}" in cell
            assert cell.endswith(r"$\pm$ 0.012")
            is_best = pair == (best["architecture_a"], best["architecture_b"])
            assert cell.startswith(r"\textbf{") == is_best
    floors = dict(zip(MEASURES, lines[4][1:], strict=True))
    assert lines[4][0] == r"\multicolumn{2}{l}{floor}"
    for name, floor in floors.items():
        held = few.main[few.main["measure"] == name]["floor"]
        assert floor == "--".join(dict.fromkeys(f"{v:.3f}" for v in (held.min(), held.max())))
    caption = re.search(r"\\caption\{(.*)\}", text)
    assert caption is not None
    assert "digits, natural inputs, $\\varepsilon$ = 0" in caption[1]
    assert "Italics: not beyond 95" in caption[1]


def test_what_chance_reaches_is_in_italics_and_never_the_best(few):
    assert latex_of(few).count(r"\textit{") == 1
    scores = few.scores.assign(floor_p95=1.0)
    text = latex_of(replace(few, scores=scores))
    assert text.count(r"\textit{") == 3 * len(MEASURES)
    assert r"\textbf" not in text
    text = latex_of(replace(few, scores=few.scores.assign(floor_p95=np.nan)))
    assert r"\textit" not in text
    assert "Italics" not in text


def test_of_distances_the_smallest_is_the_best(few):
    name = "procrustes_distance"
    table = few.only(measure="linear_cka")
    held = table.scores.assign(measure=name, floor_p95=np.nan)
    text = latex_of(replace(table, scores=held))
    bold = re.findall(r"\\textbf\{([\d.]+)\}", text)
    assert bold == [f"{held['score'].min():.3f}"]
    assert "smaller is more alike" in text


def test_undefined_scores_are_a_dash_and_never_the_best(few):
    scores = few.scores.copy()
    scores.loc[scores["measure"] == "agreement", "score"] = np.nan
    text = latex_of(replace(few, scores=scores))
    assert all(cells(line)[2] == "--" for line in text.splitlines() if line.startswith("  resnet"))


def test_numbers_of_the_csv_are_those_of_the_scores(few, tmp_path):
    write_pairs(few, tmp_path)
    held = pd.read_csv(tmp_path / "pairs.csv")
    assert len(held) == 3
    for record in few.main.to_dict("records"):
        row = held[(held["model_a"] == record["model_a"]) & (held["model_b"] == record["model_b"])]
        for value in ("score", "standard_error", "floor"):
            assert row[f"{record['measure']}_{value}"].item() == pytest.approx(record[value])
    assert len(frame_of(simulated(measures=MEASURES))) == 4 * (21 + 42)


def test_many_pairs_go_on_over_pages_and_many_measures_in_a_second_table():
    names = (*MEASURES, "knn_jaccard", "debiased_linear_cka", "jensen_shannon_similarity")
    text = latex_of(simulated(measures=names))
    assert text.count(r"\begin{longtable}") == 2
    assert r"\label{tab:pairs}" in text
    assert r"\label{tab:pairs-2}" in text
    assert r"natural inputs, $\varepsilon$ = 0.25}" in text
    assert "Part 2 of 2." in text


def test_a_column_that_says_the_same_everywhere_is_said_in_the_caption():
    frame = pd.DataFrame(
        {
            "dataset": ["d", "d"],
            "measure": ["linear_cka"] * 2,
            "model_a": ["x", "y"],
            "mean": [1, 2],
        }
    )
    text = latex(Table("some table", "T", "Said.", frame, {"mean": ".1f"}))
    assert r"\caption{Said. dataset: d; measure: Linear CKA.}" in text
    assert r"\label{tab:some-table}" in text
    assert r"model a & mean \\" in text
    alone = latex(Table("one", "T", "Said.", frame.head(1), {}))
    assert "dataset & measure & model a & mean" in alone
    assert measure_label("linear_cka") in alone


def test_tex_sets_every_table(few, tmp_path):
    """As a reader would: every table in one document, and no error or box that is too wide."""
    if not shutil.which("pdflatex"):
        pytest.skip("No pdflatex here: install Debian's texlive-latex-recommended.")
    named = simulated(
        architectures=("resnet18", HOSTILE, "vgg11"), measures=MEASURES, has_extras=True
    )
    text = [latex_of(few), latex_of(with_errors(named))]
    text += [latex(table) for table in tables_of(named)]
    packages = "".join(
        rf"\usepackage{{{name}}}" for name in ("booktabs", "longtable", "graphicx", "geometry")
    )
    document = tmp_path / "paper.tex"
    document.write_text(
        rf"\documentclass{{article}}{packages}\geometry{{margin=1.5cm,landscape}}"
        "\n\\begin{document}\n" + "\n\\clearpage\n".join(text) + r"Tables \ref{tab:pairs}."
        "\n\\end{document}\n",
        encoding="utf-8",
    )
    run = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", document.name],
        cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-2000:]
    assert (tmp_path / "paper.pdf").stat().st_size > 10_000
    assert "LaTeX Error" not in run.stdout
