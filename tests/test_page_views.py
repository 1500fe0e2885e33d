"""The page in a real Chromium: views that are linked to, taken along, lit up and printed."""

import csv
import io
import re
import shutil
import subprocess
from dataclasses import replace
from urllib.parse import parse_qs

import numpy as np
import pandas as pd
import pytest

from samemind.reporting import embedded
from samemind.reporting.embedded import layer_maps_of
from samemind.reporting.page import page_of
from samemind.reporting.report import drawing_plan, save
from samemind.reporting.tables import tables_of
from simulated_results import simulated
from test_page_in_browser import Watched
from test_page_in_browser import browser as browser

pytestmark = pytest.mark.browser
FEW = {"architectures": ("resnet18", "vgg11_bn", "my_net"), "epsilons": (0.0, 0.5)}
MEASURES = ("agreement", "linear_cka", "knn_jaccard")


def with_floors(study):
    """The same with errors, a bound of chance that some scores reach, and a map with floors."""
    scores = study.scores.assign(standard_error=0.012, floor_p95=study.scores["floor"] + 0.05)
    shown = (scores["measure"] == "linear_cka") & (scores["inputs"] == "natural")
    lowest = scores[shown & (scores["epsilon"] == 0.5)]["score"].idxmin()
    scores.loc[lowest, "floor_p95"] = 1.0
    layers = study.layers.copy()
    at = np.arange(len(layers))
    layers = layers.assign(
        standard_error=0.01 + at / 1000, floor=0.1, floor_p95=0.2 + at / 100, p_map=0.5,
        p_value=np.where(at == 1, 0.3, 0.004), is_best=at == 4, is_tied=at == 5, path_score=0.5,
        path_p_value=0.1,
    )  # fmt: skip
    return replace(study, scores=scores, layers=layers)


@pytest.fixture(scope="module")
def study():
    return with_floors(simulated(measures=MEASURES, has_extras=True, **FEW))


@pytest.fixture(scope="module")
def report(study, tmp_path_factory):
    return page_file(study, tmp_path_factory.mktemp("views"), ["similarity_by_epsilon", "gallery"])


def page_file(study, folder, figures=()):
    """The page alone, with these figures: all figures of a report would take a minute to draw."""
    plan = [step for step in drawing_plan(study) if step[2].file in figures]
    for member, results, entry in plan:
        save(member, results, folder / entry.file, formats=("png",))
    text = page_of(study, tables_of(study), [entry for _, _, entry in plan], [], folder)
    (folder / "index.html").write_text(text, encoding="utf-8")
    return folder / "index.html"


@pytest.fixture
def opened(browser, report):
    watched = Watched(browser, report.as_uri())
    yield watched
    assert watched.trouble == []
    assert [u for u in watched.requests if not u.startswith(("data:", "blob:"))] == [
        report.as_uri()
    ]
    watched.context.close()


def shown_in(page):
    return {
        name: page.input_value(f"#{name}")
        for name in ("measure", "inputs", "scale", "heat-epsilon", "other")
    } | {
        "epsilons": page.locator("#epsilons input:checked").count(),
        "networks": page.locator("#architectures input:checked").count(),
        "points": page.locator("#boxes .point").count(),
    }


def test_a_link_shows_another_reader_the_same(opened, browser):
    page = opened.page
    assert "#" not in page.evaluate("location.href")  # nothing was chosen
    page.select_option("#measure", "knn_jaccard")
    page.select_option("#inputs", "inverted")
    page.select_option("#heat-epsilon", "0")
    page.locator("#epsilons label", has_text=re.compile(r"^0\.5$")).click()
    page.locator("#architectures label", has_text="vgg").click()
    view = parse_qs(page.evaluate("location.href").partition("#view?")[2])
    assert view["measure"] == ["knn_jaccard"]
    assert view["architectures"] == ['["resnet18","my_net"]']
    again = Watched(browser, page.evaluate("location.href"))
    assert shown_in(again.page) == shown_in(page)
    assert shown_in(page)["points"] == 2  # one ordered pair of each direction
    assert again.trouble == []
    again.context.close()


def test_a_link_opens_its_pair_and_closing_it_leaves_the_address(opened, browser):
    page = opened.page
    page.locator("#boxes .point").first.dispatch_event("click")
    title = page.locator("#pair-title").inner_text()
    assert "pair=" in page.evaluate("location.href")
    again = Watched(browser, page.evaluate("location.href"))
    assert again.page.locator("#pair").is_visible()
    assert again.page.locator("#pair-title").inner_text() == title
    again.context.close()
    page.keyboard.press("Escape")
    page.wait_for_function("!location.hash.includes('pair=')")


def test_links_to_what_is_not_there_show_the_page(browser, report):
    for view in ("view?measure=gone&epsilons=x&pair=99999", "view?epsilons=[&inputs=", "models"):
        watched = Watched(browser, f"{report.as_uri()}#{view}")
        assert watched.page.locator("#boxes .point").count() > 0
        assert watched.trouble == []
        watched.context.close()


def test_the_link_is_copied(browser, report):
    watched = Watched(browser, report.as_uri())
    watched.page.evaluate("document.execCommand = () => true")
    watched.page.evaluate(
        "Object.defineProperty(navigator, 'clipboard', {value: {writeText: async (t) => "
        "{ window.held = t; }}})"
    )
    watched.page.select_option("#measure", "agreement")
    watched.page.locator("#copy-link").click()
    watched.page.wait_for_function("window.held !== undefined")
    assert watched.page.evaluate("held") == watched.page.evaluate("location.href")
    assert watched.page.locator("#copy-link").inner_text() == "Copied"
    watched.page.locator("#boxes + .hint + .take button", has_text="Markdown").click()
    watched.page.wait_for_function("held.startsWith('| dataset')")
    lines = watched.page.evaluate("held").splitlines()
    assert len(lines) == 2 + watched.page.locator("#boxes .point").count()
    watched.context.close()


def taken(page, where, what):
    with page.expect_download() as held:
        page.locator(f"{where} button", has_text=re.compile(f"^{what}$")).click()
    return held.value.suggested_filename, held.value.path().read_text(encoding="utf-8")


def test_a_chart_is_taken_along_as_svg_and_its_scores_as_csv(opened, study, tmp_path):
    page = opened.page
    for chart in ("boxes", "heat", "map", "scatter", "layers-map"):
        name, text = taken(page, f"figure:has(#{chart})", "SVG")
        assert name == f"{chart}.svg"
        assert text.startswith("<svg")
        assert "class=" not in text  # it needs no style sheet
        assert "fill:rgb" in text.replace(" ", "")
    _, text = taken(page, "figure:has(#boxes)", "CSV")
    held = pd.read_csv(io.StringIO(text))
    wanted = study.scores[study.scores["measure"] == "linear_cka"]
    assert sorted(held["score"]) == pytest.approx(sorted(wanted["score"]), abs=0)
    assert set(held["standard_error"]) == {0.012}
    _, text = taken(page, "figure:has(#layers-map)", "CSV")
    cells = pd.read_csv(io.StringIO(text))
    assert cells["score"].tolist() == pytest.approx(
        study.layers["score"].head(len(cells)), rel=1e-4
    )


def test_tables_are_taken_along_as_csv_and_latex(opened, study):
    page = opened.page
    name, text = taken(page, "#models .scroll:has([data-name=models]) + .take", "CSV")
    assert name == "models.csv"
    rows = list(csv.reader(io.StringIO(text)))
    assert len(rows) == 1 + len(study.models)
    name, text = taken(page, "#trends .take", "LaTeX")
    assert name == "trends.tex"
    assert r"\label{tab:trends}" in text
    assert r"\bottomrule" in text
    assert "?" not in text  # of the buttons that explain measures
    _, text = taken(page, "#more + .take", "CSV")
    assert len(pd.read_csv(io.StringIO(text))) == page.evaluate("filtered().length")


def test_a_model_under_the_pointer_lights_up_in_every_chart(opened):
    page = opened.page
    spot = page.locator("#map .spot").first
    model = spot.get_attribute("data-model")
    spot.dispatch_event("pointerover", {"bubbles": True})
    lit = page.locator("#charts [data-row].lit, #pairs [data-row].lit")
    rows = lit.evaluate_all("all => all.map((m) => Number(m.dataset.row))")
    wanted = page.evaluate(
        "(name) => filtered().filter((r) => [r.model_a, r.model_b].includes(name)).length", model
    )
    assert len(set(rows)) == wanted > 0
    for chart in ("#boxes", "#heat", "#scatter", "#pairs"):
        assert page.locator(f"{chart} .lit").count() > 0
    page.locator("#boxes .point").first.dispatch_event("pointerover", {"bubbles": True})
    row = page.locator("#boxes .point").first.get_attribute("data-row")
    pairs = page.evaluate(
        "[...document.querySelectorAll('#charts [data-row].lit')].map((m) =>"
        " [ROWS[m.dataset.row].model_a, ROWS[m.dataset.row].model_b].sort().join())"
    )
    own = page.evaluate(f"[ROWS[{row}].model_a, ROWS[{row}].model_b].sort().join()")
    assert set(pairs) == {own}
    page.locator("#count").dispatch_event("pointerover", {"bubbles": True})
    page.locator("#charts").dispatch_event("pointerleave")
    assert page.locator(".lit").count() == 0


def test_every_view_has_errors_and_floors(opened):
    page = opened.page
    points = page.locator("#boxes .point").count()
    assert page.locator("#boxes .error").count() == points
    assert page.locator("#scatter .error").count() == 2 * points
    assert page.locator("#boxes .floor").count() > 0
    assert page.locator("#heat .cell.chance").count() == 2  # and its mirror
    page.select_option("#heat-epsilon", "0")
    assert page.locator("#heat .cell.chance").count() == 0


def test_the_map_of_layers_says_of_each_cell_score_floor_error_and_p(opened, study):
    page = opened.page
    cells = page.locator("#layers-map .cell")
    part = study.layers.head(9)
    assert cells.count() == 9
    page.locator("#layers-map svg").focus()
    page.keyboard.press("ArrowRight")
    for key, at in (("ArrowRight", 1), ("ArrowDown", 4), ("ArrowLeft", 3)):
        page.keyboard.press(key)
        row = part.iloc[at]
        said = page.locator("#tip").inner_text()
        assert f"{row['layer_a']} – {row['layer_b']}" in said
        assert f"{row['score']:.3f} ± {row['standard_error']:.3f}" in said
        assert f"up to {row['floor_p95']:.3f}" in said
        assert f"p = {row['p_value']:.3f}, in the whole map 0.500" in said
        assert ("known to be the best" in said) == bool(row["is_best"])
        assert ("not beyond chance" in said) == (row["p_value"] > 0.05)
    assert page.locator("#layers-map .cell.chance").count() == 1
    assert page.locator("#layers-map .best").count() == 1
    cells.nth(8).dispatch_event("pointerenter")
    assert f"{part.iloc[8]['score']:.3f}" in page.locator("#tip").inner_text()
    page.select_option("#layers-pair", "1")
    assert "map=1" in page.evaluate("location.href")


def test_maps_of_layers_are_left_out_where_there_are_too_many(study, monkeypatch):
    assert len(layer_maps_of(study)) == 2
    monkeypatch.setattr(embedded, "MOST_LAYER_CELLS", 17)
    assert [one["model_b"] for one in layer_maps_of(study)] == [study.layers["model_b"].iloc[0]]
    first = layer_maps_of(study)[0]
    assert first["score"] == pytest.approx(study.layers["score"].head(9).tolist(), rel=1e-4)


def test_a_question_mark_says_what_a_measure_sees(opened):
    page = opened.page
    sees = "the arrangement of all inputs at once"
    assert sees in page.locator("#sees").inner_text()
    mark = page.locator("#trends .what").nth(1)
    mark.focus()
    assert "Linear CKA (linear_cka) sees" in page.locator("#tip").inner_text()
    assert sees in mark.get_attribute("aria-label")
    told = page.locator("table[data-name=trends] .what").count()
    assert told == len(MEASURES)


def test_figures_are_dark_plates_in_dark_mode_and_photographs_are_not(browser, report):
    filters = "(e) => getComputedStyle(e).filter"
    for scheme, plate in (("light", "none"), ("dark", "invert")):
        watched = Watched(browser, report.as_uri(), color_scheme=scheme)
        page = watched.page
        assert plate in page.locator("img.plate").first.evaluate(filters)
        assert "invert" not in page.locator("#figure-gallery img").evaluate(filters)
        page.emulate_media(media="print")
        assert page.locator("img.plate").first.evaluate(filters) == "none"
        ink = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ink == "rgb(255, 255, 255)"
        watched.context.close()


def test_paper_has_no_controls_and_cuts_long_tables_with_a_note(opened):
    page = opened.page
    page.emulate_media(media="print")
    visible = "(all) => all.filter((e) => e.offsetParent !== null && !e.closest('td, th')).length"
    assert page.locator("button, input").evaluate_all(visible) == 0
    assert page.locator("#pairs tbody tr:visible").count() <= 40
    page.emulate_media(media="screen")
    assert not page.locator("#pairs-note").is_visible()


def test_a_printed_page_begins_with_the_verdict_and_says_what_was_cut(browser, tmp_path):
    if not shutil.which("pdftotext"):
        pytest.skip("No pdftotext here: install Debian's poppler-utils.")
    page = page_file(simulated(measures=MEASURES), tmp_path)
    watched = Watched(browser, page.as_uri())
    watched.page.pdf(path=tmp_path / "page.pdf", format="A4")
    watched.context.close()
    run = subprocess.run(
        ["pdftotext", "-layout", tmp_path / "page.pdf", "-"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    pages = run.stdout.split("\f")
    assert "Verdict" in pages[0]
    assert "converging" in pages[0]
    assert re.search(r"The first 40 of \d+ rows", run.stdout)
    assert all(
        len(text.strip()) > 0 or number == len(pages) - 1 for number, text in enumerate(pages)
    )
