"""The documentation: every block of code runs, tables are current, and the site builds strictly."""

import ast
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib import util
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.testing import CliRunner

from samemind.architectures.base import ARCHITECTURES
from samemind.cli import app
from samemind.datasets import cifar10, imagenet, sat6
from samemind.datasets._validation_labels import LABEL_FILES
from samemind.datasets.base import DATASETS
from samemind.figures.base import FIGURES
from samemind.measures.base import MEASURES
from samemind.study.sections import Cluster

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(p for p in DOCS.glob("*.md") if not p.name.endswith("-table.md"))
FENCE = re.compile(
    r"(?:<!-- not run: (?P<why>[^>]+) -->\n)?^```(?P<kind>\w+)\n(?P<body>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
SHOWN = ("text",)


class Block(NamedTuple):
    kind: str
    body: str
    why_not_run: str | None


def blocks(page: Path) -> Iterator[Block]:
    for found in FENCE.finditer(page.read_text(encoding="utf-8")):
        yield Block(found["kind"], found["body"], found["why"])


@pytest.fixture
def _families_as_they_were() -> Iterator[None]:
    """What an example registers is gone afterwards."""
    families = (MEASURES, ARCHITECTURES, DATASETS, FIGURES)
    before = [(f, len(f), dict(f._members)) for f in families]
    yield
    for family, _, members in before:
        family._members.clear()
        family._members.update(members)


@pytest.mark.usefixtures("_families_as_they_were")
@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_every_block_of_a_page_runs(page: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    files = [b for b in blocks(page) if b.body.startswith("# file: ")]
    for block in files:
        name = block.body.splitlines()[0].removeprefix("# file: ")
        (tmp_path / name).write_text(block.body, encoding="utf-8")
    names: dict = {"__name__": page.stem}
    for block in blocks(page):
        if block in files or block.kind in SHOWN:
            continue
        if block.kind == "python":
            exec(compile(block.body, str(page), "exec"), names)
        elif block.kind == "sh":
            run_shell(block)
        else:
            assert block.kind == "toml", f"{page}: blocks of {block.kind} are not run"


def run_shell(block: Block) -> None:
    for line in block.body.splitlines():
        words = shlex.split(line, comments=True)
        if block.why_not_run:
            # It may not run here, but what it names must be there.
            if words and words[0] == "samemind":
                # A command of a command, such as `store verify`, has options of its own.
                path = words[1:3] if words[1] == "store" else words[1:2]
                help_of = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "200"})
                assert help_of.exit_code == 0
                for option in (w for w in words if w.startswith("--")):
                    assert option in help_of.output, f"{option} in '{line}'"
            continue
        assert words[0] == "samemind", f"'{line}' is not run by this test"
        done = CliRunner().invoke(app, words[1:])
        assert done.exit_code == 0, f"{line}\n{done.output}\n{done.exception!r}"


def load(name: str):
    spec = util.spec_from_file_location(name, DOCS / "_extension" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_tables_made_from_declarations_are_current() -> None:
    tables = load("tables")
    readme = ROOT / "README.md"
    assert tables.readme() == readme.read_text(encoding="utf-8"), "README.md is out of date"
    for name, make in tables.TABLES.items():
        assert (DOCS / name).read_text(encoding="utf-8") == make(), (
            f"docs/{name} is out of date: python docs/_extension/tables.py"
        )


def test_the_pictures_show_what_the_page_says() -> None:
    pictures = load("pictures")
    first = pictures.scores(*pictures.alike_to_cka())
    assert first["linear_cka"] > 0.99
    assert first["knn_jaccard"] < 0.1
    second = pictures.scores(*pictures.alike_to_neighbours())
    assert second["knn_jaccard"] == 1
    assert second["linear_cka"] < 0.3


def of_the_page() -> str:
    return next(b for b in blocks(DOCS / "adding.md") if b.kind == "python").body


def of_the_example() -> str:
    return (ROOT / "examples" / "add_your_own_measure.py").read_text(encoding="utf-8")


def test_a_measure_that_is_added_keeps_the_promises_of_every_measure(tmp_path: Path) -> None:
    added = {"mean_direction": of_the_page(), "dimensionality_ratio": of_the_example()}
    for name, source in added.items():
        (tmp_path / f"added_{name}.py").write_text(source, encoding="utf-8")
    tests = [ROOT / "tests" / f"test_measure_{name}.py" for name in ("promises", "basics")]
    # As plugins they are registered before the tests ask which measures there are.
    plugins = [word for name in added for word in ("-p", f"added_{name}")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *plugins, "-p", "no:cacheprovider", "-vv",
         "-k", " or ".join(added), *map(str, tests)],
        capture_output=True, text=True, check=False, cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    for name in added:
        assert len(re.findall(rf"\[{name}.*PASSED", done.stdout)) > 20


def test_examples_of_adding_a_member_are_short() -> None:
    for block in blocks(DOCS / "adding.md"):
        assert len(block.body.splitlines()) < 40


def test_every_key_of_the_cluster_table_is_documented() -> None:
    text = (DOCS / "scale.md").read_text(encoding="utf-8")
    rows = {row.split("|")[1].strip(): row for row in text.splitlines() if row.startswith("| `")}
    assert set(rows) == {f"`{key}`" for key in Cluster.model_fields}
    told = CliRunner().invoke(app, ["run", "--help"], env={"COLUMNS": "200"}).output
    for flag in re.findall(r"`(--[\w-]+)`", "".join(rows.values())):
        assert flag in told


PROMISES = DOCS / "reliability.md"


def names_of_tests(file: str) -> set[str]:
    """The names of the tests of a file, marked ones too."""
    tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
    return {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}


def promises() -> list[list[str]]:
    """The rows of the tables of what samemind promises, as cells."""
    lines = PROMISES.read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "|" in line]
    return [row for row in rows if row[0] not in ("promise", "---")]


@pytest.mark.parametrize("row", promises(), ids=lambda row: row[0][:50])
def test_every_promise_names_tests_that_there_are(row: list[str]) -> None:
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", row[2])
    assert named, f"no test is named for: {row[0]}"
    assert not re.sub(r"`test_\w+\.py::test_\w+`|[;,.\s]|\([^)]*\)", "", row[2]), row[2]
    for file, name in named:
        assert name in names_of_tests(file), f"{file} has no {name}"


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    done = subprocess.run(
        [*command, "-d", str(tmp_path / "doctrees"), str(DOCS), str(tmp_path / "html")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "html" / "measures.html").is_file()
    assert "linear_cka" in (tmp_path / "html" / "measure-reference.html").read_text()
    pages = {p: p.read_text(encoding="utf-8") for p in (tmp_path / "html").rglob("*.html")}
    assert any("<math" in text for text in pages.values())
    for page, text in pages.items():
        # The site works offline: nothing that a page needs comes from elsewhere.
        fetched = re.findall(
            r"<(?:script|img|link|iframe)\b[^>]*(?:src|href)=[\"'](?:https?:)?//", text
        )
        assert not fetched, (page.name, fetched)


def test_every_formula_in_a_docstring_can_be_drawn() -> None:
    draw = load("mathml").mathml
    found = 0
    for file in (ROOT / "src" / "samemind").rglob("*.py"):
        for doc in docstrings(file):
            for tex in re.findall(r"\$\$(.+?)\$\$", doc, re.DOTALL):
                assert draw(tex.strip(), as_block=True).startswith("<math"), (file.name, tex)
                found += 1
    assert found > 40


def docstrings(file: Path) -> list[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.ClassDef, ast.Module)
    return [ast.get_docstring(n) or "" for n in ast.walk(tree) if isinstance(n, kinds)]


def test_the_page_on_data_names_every_layout_that_is_read():
    page = (DOCS / "data.md").read_text(encoding="utf-8")
    members = [f"X_{split}_sat6.csv" for split in sat6.COUNTS] + [sat6.MAT_FILE]
    members += [f"y_{split}_sat6.csv" for split in sat6.COUNTS]
    members += [*LABEL_FILES, str(imagenet.CHALLENGE), cifar10.FOLDER]
    members += [word for text in imagenet.PARTS.values() for word in text.split(" to ")]
    members += [f"{split}/CLASS" for split in ("train", "val")]
    assert [name for name in members if name not in page] == []
    assert [name for name in DATASETS if f"`{name}`" not in page] == []
