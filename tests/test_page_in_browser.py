"""The page in a real headless Chromium: what a reader sees is what scores.parquet holds."""

import io
import os
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from samemind.reporting import write_report
from simulated_results import simulated

pytestmark = pytest.mark.browser

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
MEGABYTE = 1e6


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = os.environ.get("SAMEMIND_CHROMIUM") or shutil.which("chromium")
    if not chromium:
        pytest.skip("No chromium here: install Debian's package, or name one in SAMEMIND_CHROMIUM.")
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=chromium, args=FLAGS)
        yield found
        found.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A study as large as the paper's on CIFAR-10: 28 models, seven measures."""
    measures = (
        "agreement", "jensen_shannon_similarity", "linear_cka", "debiased_linear_cka",
        "procrustes_similarity", "knn_jaccard", "knn_jaccard@100",
    )  # fmt: skip
    study = simulated(measures=measures, has_extras=True)
    scores = study.scores.copy()
    scores.loc[[5, 9], "score"] = np.nan
    scores.loc[[5, 9], "reason"] = "The representation is constant."
    from dataclasses import replace

    return write_report(replace(study, scores=scores), tmp_path_factory.mktemp("page") / "report")


@pytest.fixture(scope="module")
def scores(report):
    return pd.read_parquet(report.parent / "scores.parquet")


class Watched:
    """A page whose console messages, errors and requests are kept."""

    def __init__(self, browser, address, **options):
        self.context = browser.new_context(
            **({"viewport": {"width": 1280, "height": 900}} | options)
        )
        self.context.set_default_timeout(
            300_000
        )  # milliseconds; a busy machine needs more than 30 s
        self.page = self.context.new_page()
        self.trouble, self.requests = [], []
        self.page.on("console", lambda message: self.trouble.append(message.text))
        self.page.on("pageerror", lambda error: self.trouble.append(str(error)))
        self.page.on(
            "dialog", lambda dialog: (self.trouble.append(dialog.message), dialog.dismiss())
        )
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(address)

    def points(self):
        """The rows of scores.parquet that the box plot shows."""
        marks = self.page.locator("#boxes .point")
        return sorted(int(i) for i in marks.evaluate_all("all => all.map(m => m.dataset.row)"))


@pytest.fixture
def opened(browser, report):
    watched = Watched(browser, report.as_uri())
    yield watched
    assert watched.trouble == []
    assert [url for url in watched.requests if not url.startswith("data:")] == [report.as_uri()]
    watched.context.close()


def rows_of(scores, **wanted):
    rows = scores[scores["score"].notna()]
    for column, value in wanted.items():
        rows = rows[rows[column] == value]
    return sorted(rows.index)


def test_the_page_is_small_enough(report):
    assert report.stat().st_size < 15 * MEGABYTE


def test_the_page_holds_the_scores_of_the_table_to_the_last_digit(opened, scores):
    held = opened.page.evaluate("DATA.scores.score")
    assert [np.nan if value is None else value for value in held] == pytest.approx(
        scores["score"].tolist(), rel=0, abs=0, nan_ok=True
    )


def test_points_stand_where_their_scores_are(opened, scores):
    marks = opened.page.locator("#boxes .point").evaluate_all(
        "all => all.map(m => [Number(m.dataset.row), Number(m.getAttribute('cy'))])"
    )
    values = scores["score"].to_numpy()[[int(row) for row, _ in marks]]
    slope, shift = np.polyfit(values, [y for _, y in marks], 1)
    assert slope < 0
    assert np.allclose(slope * values + shift, [y for _, y in marks], atol=0.01)


def test_filters_change_what_is_shown(opened, scores):
    page = opened.page
    assert opened.points() == rows_of(scores, measure="linear_cka")
    page.select_option("#measure", "agreement")
    assert opened.points() == rows_of(scores, measure="agreement")
    page.select_option("#inputs", "inverted")
    assert opened.points() == rows_of(scores, measure="agreement", inputs="inverted")
    page.locator("#epsilons label", has_text=re.compile(r"^0\.5$")).click()
    shown = scores.loc[opened.points()]
    assert set(shown["epsilon"]) == {0.0, 0.25, 1.0}
    page.locator("#architectures label", has_text="vgg").click()
    shown = scores.loc[opened.points()]
    assert "vgg" not in {*shown["architecture_a"], *shown["architecture_b"]}
    assert len(shown) == 3 * 6 * 5
    assert page.locator("#count").inner_text() == "45 pairs, 90 scores of Agreement."


def test_the_normalised_scale_is_the_one_of_the_statistics(opened, scores):
    opened.page.select_option("#scale", "normalised")
    held = opened.page.evaluate("DATA.scores.normalised")
    row = scores.iloc[0]
    assert held[0] == pytest.approx((row["score"] - row["floor"]) / (1 - row["floor"]))
    assert opened.points() == rows_of(scores, measure="linear_cka")


def test_the_heat_map_has_every_pair_of_its_epsilon(opened, scores):
    opened.page.select_option("#inputs", "inverted")
    opened.page.select_option("#heat-epsilon", "0.25")
    cells = opened.page.locator("#heat .cell").evaluate_all("all => all.map(m => m.dataset.row)")
    wanted = rows_of(scores, measure="linear_cka", inputs="inverted", epsilon=0.25)
    assert sorted(int(i) for i in cells) == wanted
    assert len(wanted) == 42


def test_the_map_has_the_models_of_its_epsilon_and_names_them(opened, scores):
    page = opened.page
    page.select_option("#heat-epsilon", "0.5")
    spots = page.locator("#map .spot")
    cell = scores[scores["epsilon"] == 0.5]
    wanted = {*cell["model_a"], *cell["model_b"]}
    assert set(spots.evaluate_all("all => all.map(s => s.dataset.model)")) == wanted
    assert len(wanted) == 7
    page.locator("#map svg").focus()
    page.keyboard.press("ArrowRight")
    assert spots.first.get_attribute("data-model") in page.locator("#tip").inner_text()
    assert "clean accuracy" in page.locator("#tip").inner_text()
    before = spots.first.get_attribute("transform")
    page.select_option("#measure", "knn_jaccard")
    assert spots.first.get_attribute("transform") != before
    page.locator("#architectures label", has_text="vgg").click()
    assert spots.count() == 6


def test_names_in_the_heat_map_are_not_cut_off(browser, tmp_path):
    names = ("cifar_wide_resnet50_4_imagenet_stem", "cifar_resnext50_32x4d_imagenet_stem", "vgg")
    study = simulated(architectures=names, measures=("agreement",), epsilons=(0.0,))
    page = write_report(study, tmp_path / "report")
    for width in (390, 1280):
        watched = Watched(browser, page.as_uri(), viewport={"width": width, "height": 800})
        outside = watched.page.evaluate(
            "(() => { const box = document.querySelector('#heat svg').getBoundingClientRect();"
            " return [...document.querySelectorAll('#heat .name')].filter(t => {"
            " const b = t.getBoundingClientRect();"
            " return b.left < box.left - 1 || b.top < box.top - 1; }).length; })()"
        )
        assert outside == 0
        watched.context.close()


def test_the_scatter_plot_has_every_pair(opened, scores):
    marks = opened.page.locator("#scatter .point").evaluate_all(
        "all => all.map(m => m.dataset.row)"
    )
    both = scores.pivot_table(
        index=["epsilon", "inputs", "model_a", "model_b"], columns="measure", values="score"
    )
    assert len(marks) == both[["linear_cka", "agreement"]].notna().all(axis=1).sum()


def test_a_pair_opens_from_a_point_and_shows_its_rows(opened, scores):
    page = opened.page
    page.locator("#boxes .point").first.dispatch_event("click")
    row = scores.loc[int(page.locator("#boxes .point").first.get_attribute("data-row"))]
    assert page.locator("#pair").is_visible()
    text = page.locator("#pair").inner_text()
    assert row["model_a"] in text
    assert row["model_b"] in text
    names = {row["model_a"], row["model_b"]}
    mine = scores[scores["model_a"].isin(names) & scores["model_b"].isin(names)]
    assert page.locator("#pair-body table").nth(1).locator("tbody tr").count() == len(mine)
    assert f"Row {row.name} of scores.parquet" in text
    page.keyboard.press("Escape")
    assert not page.locator("#pair").is_visible()


def test_a_pair_opens_by_keyboard_alone(opened):
    page = opened.page
    page.locator("#boxes svg").focus()
    page.keyboard.press("ArrowRight")
    assert "natural inputs" in page.locator("#tip").inner_text()
    page.keyboard.press("Enter")
    assert page.locator("#pair").is_visible()
    page.locator("#close").click()
    assert not page.locator("#pair").is_visible()


def test_a_pair_with_contributions_shows_the_inputs_that_drive_it(opened):
    page = opened.page
    page.evaluate("openPair(ROWS.find(r => DRIVING.has(r.row)))")
    pictures = page.locator("#pair .strip svg.tile")
    assert pictures.count() >= 12
    assert pictures.evaluate_all("all => all.every(i => i.getAttribute('aria-label').length > 3)")
    # They are painted, and not all alike.
    painted = {pictures.nth(number).screenshot() for number in range(4)}
    assert len(painted) == 4
    assert all(np.ptp(np.asarray(Image.open(io.BytesIO(one)))[..., :3]) > 100 for one in painted)
    assert "contribute least to Linear CKA" in page.locator("#pair").inner_text()


def test_tables_sort_by_number_and_undefined_scores_come_last(opened, scores):
    page = opened.page
    page.select_option("#measure", scores.loc[5, "measure"])
    head = page.locator("#pairs th button", has_text="Score")
    for _ in range(2):
        head.click()
        rows = page.locator("#pairs tbody tr").evaluate_all("all => all.map(r => r.dataset.row)")
        values = scores["score"].to_numpy()[[int(i) for i in rows]]
        finite = values[np.isfinite(values)]
        assert (np.diff(finite) <= 0).all() or (np.diff(finite) >= 0).all()
    models = page.locator("table[data-name=models]")
    models.locator("th button", has_text="Parameters").click()
    texts = models.locator("tbody tr td:nth-child(6)").all_inner_texts()
    numbers = [int(text.replace(",", "")) for text in texts]
    assert numbers == sorted(numbers)


def test_undefined_scores_are_counted_at_the_top_and_in_the_pair(opened, scores):
    page = opened.page
    assert "2 of" in page.locator(".notices").inner_text()
    page.evaluate("openPair(ROWS[5])")
    assert "undefined: The representation is constant." in page.locator("#pair").inner_text()


def test_light_and_dark_can_be_switched(opened):
    page = opened.page
    background = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(background)
    page.locator("#theme").click()
    assert page.evaluate(background) != before


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_screen(browser, report, width, scheme):
    watched = Watched(
        browser, report.as_uri(), viewport={"width": width, "height": 844}, color_scheme=scheme
    )
    page = watched.page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("#boxes svg").bounding_box()["width"] <= width
    page.locator("#boxes .point").first.dispatch_event("click")
    assert page.locator("#pair").bounding_box()["width"] <= width
    assert watched.trouble == []
    watched.context.close()


CONTRAST = """() => {
  const light = (c) => { const [r, g, b] = c.match(/[\\d.]+/g).map(Number).map((v) => {
    v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = (e) => { for (; e; e = e.parentElement) {
    const c = getComputedStyle(e).backgroundColor;
    if (!c.startsWith("rgba(0, 0, 0, 0")) return c; } return "rgb(255,255,255)"; };
  const bad = [];
  const texts = "h1,h2,h3,p,li,td,th,button,label,legend,a,summary,small,strong,text,select";
  for (const e of document.querySelectorAll(texts)) {
    if (e.closest(".cell, dialog") || e.style.fill || !e.textContent.trim()) continue;
    if (!e.getClientRects().length) continue;
    const style = getComputedStyle(e), ink = e.tagName === "text" ? style.fill : style.color;
    const [a, b] = [light(ink), light(behind(e))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) bad.push([e.tagName, e.className, ink, behind(e)]);
  }
  return bad;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_its_background(browser, report, scheme):
    watched = Watched(browser, report.as_uri(), color_scheme=scheme)
    assert watched.page.evaluate(CONTRAST) == []
    watched.context.close()


def test_images_have_texts_and_controls_have_names(opened):
    page = opened.page
    unnamed = page.evaluate(
        "[...document.querySelectorAll('select,input,button')].filter(e =>"
        " !(e.labels?.length || e.getAttribute('aria-label') || e.textContent.trim())).length"
    )
    assert unnamed == 0
    assert page.evaluate("[...document.images].every(i => i.alt.length > 3)")
    assert page.evaluate(
        "[...document.querySelectorAll('.chart svg')].every(s => s.getAttribute('aria-label'))"
    )
    assert page.evaluate("[...document.images].every(i => i.naturalWidth > 0 || i.loading)")


def test_paper_needs_no_controls(opened):
    opened.page.emulate_media(media="print")
    assert not opened.page.locator("#filters").is_visible()
    assert not opened.page.locator("nav").is_visible()
    assert opened.page.locator("#verdict").is_visible()


def test_hostile_names_stay_text(browser, tmp_path):
    hostile = "<img src=x onerror=alert(1)></script><script>alert(2)</script>"
    study = simulated(architectures=("residual", hostile, "vgg"), measures=("agreement",))
    page = write_report(study, tmp_path / "report")
    watched = Watched(browser, page.as_uri())
    watched.page.locator("#boxes .point").first.dispatch_event("click")
    watched.page.wait_for_timeout(200)
    assert watched.trouble == []
    assert hostile in watched.page.locator("#architectures").inner_text()
    assert watched.page.locator("img[src=x]").count() == 0
    watched.context.close()
