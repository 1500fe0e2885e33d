"""Tables keep every word and cell whole, at 80 and 120 columns and in a pipe."""

import io
import json
import os
import subprocess
import sys

import click
import numpy as np
import pytest
from rich.text import Text

import samemind
from samemind.commands.rows import print_rows
from samemind.comparison.layer_maps import layer_map
from samemind.printing import Columns, Terminal
from samemind.reporting.terminal import show

WIDTHS = (80, 120, None)


def printed(what, width: int | None) -> str:
    held = io.StringIO()
    options = {} if width is None else {"force_terminal": True, "width": width, "no_color": True}
    what(Terminal(file=held, **options))
    return Text.from_ansi(held.getvalue()).plain


def a_comparison():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 60)
    sides = {
        name: samemind.Side(
            representation=rng.random((60, 4)),
            logits=np.eye(3)[labels] * 4 + noise * rng.standard_normal((60, 3)),
            labels=labels,
            kind="logits",
        )
        for name, noise in (("resnet18_of_a_long_name", 1), ("another_network", 2), ("third", 9))
    }
    measures = ["agreement", "jensen_shannon_similarity", "linear_cka", "ambiguity"]
    found = samemind.compare(
        sides, measures=measures, calibrate=True, extrapolate=True, differences=True, probe=True
    )
    layers = {f"layer{i}.block": rng.random((60, 5)) for i in range(4)}
    table = layer_map(layers, layers).assign(model_a="third", model_b="another_network")
    object.__setattr__(found, "layers", table)
    return found


@pytest.fixture(scope="module")
def comparison():
    return a_comparison()


@pytest.mark.parametrize("width", WIDTHS)
def test_a_comparison_has_all_its_cells_at_any_width(comparison, width) -> None:
    text = printed(lambda console: show(comparison, console, tolerance=0.01), width)
    words = set(text.split())
    row = comparison.scores.iloc[0]
    for column in ("score", "standard_error", "floor", "floor_p95", "calibrated", "limit"):
        assert f"{row[column]:.4f}" in words
    names = ("resnet18_of_a_long_name", "another_network", "jensen_shannon_similarity")
    for name in (*names, "layer3.block", "ambiguity"):
        assert name in words
    if width is not None:
        assert max(len(line) for line in text.splitlines()) <= width


@pytest.mark.parametrize("width", WIDTHS)
def test_many_pairs_have_a_matrix_with_all_measures(width) -> None:
    rng = np.random.default_rng(0)
    found = samemind.compare({f"network_{i}": rng.random((40, 4)) for i in range(5)}, errors=False)
    text = printed(lambda console: show(found, console, tolerance=0.01), width)
    for score in found.scores["score"]:
        assert f"{score:.4f}" in text


@pytest.mark.parametrize("width", WIDTHS)
def test_sentences_in_tables_are_wrapped_between_words(width, monkeypatch) -> None:
    sentence = "every word of a summary that goes on for more than eighty columns stays whole, " * 2
    rows = [{"name": "a_member_of_some_length", "count": 12, "summary": sentence}]

    def show_rows(console):
        monkeypatch.setattr("samemind.commands.rows.console", console)
        print_rows(rows, ("name", "count", "summary"))

    text = printed(show_rows, width)
    assert "a_member_of_some_length" in text.split()
    assert " ".join(text.split()).count("eighty") == 2
    assert not set(text.split()) - set(
        f"name count summary {sentence} {rows[0]['name']} 12".split()
    )
    if width is None:
        assert len(text.splitlines()) == 2  # of a pipe each row is one line


def test_a_name_wider_than_the_terminal_stays_whole() -> None:
    table = Columns("name", "score")
    table.add_row("x" * 100, "0.5")
    assert "x" * 100 in printed(lambda console: console.print(table), 80).split()


def run(*words: str, **env: str) -> str:
    command = [sys.executable, "-m", "samemind", *words]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, **env}
    )
    return done.stdout


def test_measures_are_listed_a_line_each_under_their_family() -> None:
    lines = run("list", "measures").splitlines()
    names = samemind.list_measures()
    listed = [line.split()[0] for line in lines if line.startswith("  ")]
    assert sorted(listed) == sorted(names)
    assert len(lines) < len(names) + 30
    assert "kernel alignment" in lines


@pytest.fixture(scope="module")
def arrays(tmp_path_factory):
    folder = tmp_path_factory.mktemp("arrays")
    rng = np.random.default_rng(0)
    for name in ("one", "two"):
        np.save(folder / f"{name}.npy", rng.random((40, 4)))
    return [str(folder / f"{name}.npy") for name in ("one", "two")]


def test_scores_come_in_the_form_that_is_asked_for(arrays, comparison) -> None:
    text = run("compare", "--activations", *arrays, "--format", "json")
    assert json.loads(text)["schema"] == 1
    markdown = comparison.as_text("markdown").splitlines()
    assert markdown[0].startswith("| model_a | model_b |")
    assert len(markdown) == 2 + len(comparison.scores)
    assert all(line.count("|") == markdown[0].count("|") for line in markdown)
    assert comparison.as_text("csv").splitlines()[0].startswith("model_a,model_b,")
    assert r"\begin{tabular}" in comparison.as_text("latex")
    with pytest.raises(samemind.SamemindError, match="Known: markdown, csv, latex"):
        comparison.as_text("html")


def test_answers_have_colours_unless_they_are_not_wanted(comparison, monkeypatch) -> None:
    def said(**options) -> str:
        held = io.StringIO()
        show(comparison, Terminal(file=held, force_terminal=True, **options), tolerance=0.01)
        return held.getvalue()

    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[31m" in said(color_system="standard")  # "no", in red
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[31m" not in said(color_system="standard")


def test_whoever_watches_is_told_of_pairs(monkeypatch) -> None:
    from samemind.comparison.work import Asked, Work

    rng = np.random.default_rng(0)
    sides = {str(i): samemind.Side(representation=rng.random((30, 3))) for i in range(3)}
    work, told = Work(asked=Asked(measures=["linear_cka"]), sides=sides, name="x"), []
    work.watch = lambda *what: told.append(what)
    work.score()
    assert told == [("scoring pairs", done, 3) for done in range(4)]


@pytest.mark.parametrize("command", ["compare", "run"])
def test_help_groups_every_option_under_a_heading(command: str) -> None:
    from typer.main import get_command

    from samemind.cli import app

    group = get_command(app)
    member = group.commands[command]
    known = {parameter.name for parameter in member.params}
    named = [name for names in member.panels.values() for name in names]
    assert len(named) == len(set(named))
    context = click.Context(member, info_name=command)
    text = member.get_help(context)
    for panel, names in member.panels.items():
        assert f"{panel}:" in text or not known & set(names)
    for parameter in member.params:
        if parameter.param_type_name == "option" and not parameter.hidden:
            assert max(parameter.opts, key=len) in text
