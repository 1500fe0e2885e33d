"""Figures for a paper: at one and two columns, in every format, with nothing cut or covered."""

import itertools
import re

import numpy as np
import pytest
from typer.testing import CliRunner

from samemind.errors import InvalidInput
from samemind.figures._naming import spread_apart
from samemind.figures.base import FIGURES
from samemind.figures.style import PLAIN, SMALL, SMALLEST
from samemind.figures.widths import ONE_COLUMN, TWO_COLUMNS, drawn_at, width_of
from samemind.reporting.report import save
from simulated_results import along_a_training, simulated
from test_figures import LETTERS, taken_apart, texts_of, written

NAMES = ("resnet18", "my_network", "densenet121", "vgg11_bn")


@pytest.fixture(scope="module")
def studies():
    """A study with four ε, and one with a single ε as a comparison of one's own models has."""
    measures = ("agreement", "linear_cka", "procrustes_similarity", "knn_jaccard", "knn_jaccard@50")
    common = {"measures": measures, "has_extras": True, "dataset": "imagenet1k"}
    return {
        "four": simulated(architectures=NAMES, epsilons=(0.0, 0.25, 0.5, 1.0), **common),
        "single": simulated(architectures=NAMES[:3], epsilons=(0.0,), **common),
    }


def suited(results, name):
    """The results as the figure takes them, or None where it has nothing to show."""
    member = FIGURES[name]
    if "trajectory" in member.needs:
        results = along_a_training(results)
    if "parts" in member.needs:
        results = taken_apart(results)
    if member.per_measure == "only":
        results = results.only(measure="linear_cka")
    return None if member.missing(results) else results


OF_SEVERAL_STUDIES = {"dataset_size", "out_of_distribution"}


#: Drawn each in their own way, and tested each time; the others in CI.
OFTEN = {"heat_maps", "predictions_natural"}


@pytest.mark.parametrize(
    ("name", "study"),
    [
        pytest.param(name, study, marks=() if name in OFTEN else pytest.mark.slow)
        for name in sorted(set(FIGURES) - OF_SEVERAL_STUDIES)
        for study in ("four", "single")
    ],
)
def test_a_figure_of_one_column_is_whole(name, study, studies):
    results = suited(studies[study], name)
    if results is None:
        assert study == "single"
        return
    with drawn_at(ONE_COLUMN):
        drawing = FIGURES[name](results)
    assert drawing.get_figwidth() == ONE_COLUMN
    texts = texts_of(drawing)
    width, height = drawing.canvas.get_width_height()
    cut = [
        text
        for text, box in texts
        if box.x0 < -1 or box.y0 < -1 or box.x1 > width + 1 or box.y1 > height + 1
    ]
    assert cut == []
    inner = [(text, box.padded(-0.5)) for text, box in texts if text not in LETTERS]
    pairs = itertools.combinations(inner, 2)
    assert [(a, b) for (a, one), (b, other) in pairs if one.overlaps(other)] == []
    shown = [axis for axis in drawing.axes if axis.get_visible() and axis.axison]
    assert all(axis.has_data() for axis in shown)
    held = [text for axis in shown for text in (axis.title, axis._left_title, *axis.texts)]
    sizes = {text.get_fontsize() for text in held if text.get_text()}
    assert sizes <= {PLAIN, SMALL, SMALLEST}


@pytest.mark.parametrize("name", ["heat_maps", "trends"])
def test_two_columns_are_as_wide_as_was_asked(name, studies):
    results = suited(studies["four"], name)
    with drawn_at(TWO_COLUMNS):
        assert FIGURES[name](results).get_figwidth() == TWO_COLUMNS
    own = FIGURES[name](results).get_figwidth()
    with drawn_at(None):
        assert FIGURES[name](results).get_figwidth() == own


def test_widths_are_columns_or_millimetres():
    assert width_of("one") == ONE_COLUMN
    assert width_of(" Two ") == TWO_COLUMNS
    assert width_of("120") == width_of("120mm") == width_of("120.0 mm") == 120 / 25.4
    for wrong in ("three", "12", "5000", "", "84 cm", "nan"):
        with pytest.raises(InvalidInput, match=r"one .column, 84 mm., two .columns, 175 mm. or"):
            width_of(wrong)


def test_few_points_are_named_and_many_are_not():
    few = simulated(
        architectures=NAMES[:3], epsilons=(0.0,), measures=("agreement", "linear_cka")
    ).only(inputs="natural")
    for name in ("predictions_natural", "similarity_by_epsilon"):
        assert "resnet18 – my_network" in written(FIGURES[name](few))
    assert "my_network" in written(FIGURES["model_map"](few.only(measure="linear_cka")))
    scatter = FIGURES["representations_and_predictions"](few)
    assert written(scatter).count("resnet18-eps0-seed0 – my_network-eps0-seed0") == 1
    many = simulated(epsilons=(0.0,), measures=("agreement",)).only(inputs="natural")
    assert " – " not in written(FIGURES["similarity_by_epsilon"](many))


def test_values_that_are_spread_apart_move_as_little_as_can_be():
    draws = np.random.default_rng(0)
    for _ in range(50):
        values = np.sort(draws.random(draws.integers(1, 9)))
        moved = spread_apart(values, 0.2)
        assert (np.diff(moved) >= 0.2 - 1e-12).all()
        assert moved.mean() == pytest.approx(values.mean())
        # No other arrangement nearby that keeps them apart is nearer to the values.
        for _ in range(20):
            other = moved + draws.normal(0, 0.05, len(moved))
            if (np.diff(other) >= 0.2).all():
                assert np.sum((other - values) ** 2) >= np.sum((moved - values) ** 2) - 1e-12
    assert spread_apart(np.array([0.0, 5.0]), 1.0).tolist() == [0.0, 5.0]


def test_a_figure_is_written_in_each_format_and_the_same_twice(studies, tmp_path):
    results = studies["single"]
    formats = ("pdf", "svg", "png")
    files = save(FIGURES["accuracies"], results, tmp_path / "a", formats=formats, width=ONE_COLUMN)
    assert [file.name for file in files] == ["a.pdf", "a.svg", "a.png"]
    pdf, drawn, png = (file.read_bytes() for file in files)
    assert pdf.startswith(b"%PDF")
    assert png.startswith(b"\x89PNG")
    text = drawn.decode()
    assert re.search(r'width="237\.6\d*pt"', text)  # 3.3 inches of 72 points
    assert "Clean accuracy" in text  # words stay words
    again = save(FIGURES["accuracies"], results, tmp_path / "b", formats=formats, width=ONE_COLUMN)
    assert [file.read_bytes() for file in again] == [pdf, drawn, png]


def test_the_command_says_what_widths_and_formats_there_are():
    from samemind.cli import app

    run = CliRunner().invoke(app, ["figure", "accuracies", "digits", "--format", "tiff"])
    assert run.exit_code == 2
    assert "'pdf', 'svg', 'png'" in run.output
