"""A store harms nothing: what is not samemind's is never counted, moved or removed."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from typer.testing import CliRunner

from samemind.cli import app
from samemind.errors import InvalidInput, StoreError
from samemind.execution import InProcess
from samemind.store.artifacts import Recipe, Store
from samemind.store.disk import made_text
from samemind.store.inventory import Inventory
from samemind.store.marking import MARK_FILE
from samemind.store.recipes import readable_json
from samemind.study import read_study
from samemind.study.running import advance

DATA = Path(__file__).parent / "data"


@dataclass(frozen=True, kw_only=True)
class Thing(Recipe):
    kind: ClassVar[str] = "things"
    size: int


@dataclass(frozen=True, kw_only=True)
class Pile(Recipe):
    kind: ClassVar[str] = "piles"
    things: tuple[Thing, ...]


ONE, TWO, THREE = (Thing(size=n) for n in (1, 2, 3))
PILE = Pile(things=(ONE, TWO))


@pytest.fixture
def filled(store: Store) -> Store:
    for recipe in (ONE, TWO, THREE, PILE):
        with store.create(recipe) as draft:
            draft.write_arrays("data.safetensors", {"x": np.zeros(100, np.float32)})
    return store


def asked(*arguments: object, answer: str = ""):
    found = CliRunner().invoke(app, ["store", *map(str, arguments)], input=answer)
    if found.exception and not isinstance(found.exception, SystemExit):
        raise found.exception
    return found


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


COMMANDS = {
    "list": ["list"],
    "size": ["size"],
    "verify": ["verify"],
    "set aside": ["verify", "--set-aside", "--yes"],
    "remove": ["remove", "--yes"],
    "keep": ["remove", "--keep", str(DATA / "tiny-digits.toml"), "--yes"],
}


# -- what is no store


@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_of_other_things_is_no_store_and_stays_as_it_is(tmp_path, command):
    names = ("jobs/train.sbatch", "scratch/mine/data", "src/pkg/code.py", ".git/objects/aa")
    # Named and laid out as a store's own parts are, and still nobody's artifact.
    names += ("damaged/old/data", "leases/mine", "things/mine-0123456789abcdef/recipe.json")
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}\n")
    before = files(tmp_path)
    with pytest.raises(StoreError, match=r"There is no store at .*holds no artifact"):
        asked(*COMMANDS[command], "--store", tmp_path)
    assert files(tmp_path) == before


@pytest.mark.parametrize("command", COMMANDS)
def test_the_folder_above_a_store_is_none_and_the_store_is_named(filled, command):
    above = filled.root.parent
    (above / "digits" / "report").mkdir(parents=True)
    (above / "digits" / "report" / "index.html").write_text("<p>")
    (above / "mine" / "notes").mkdir(parents=True)
    before = files(above)
    with pytest.raises(StoreError, match=rf"There is no store .* The store is {filled.root}"):
        asked(*COMMANDS[command], "--store", above)
    with pytest.raises(StoreError, match="There is no store"):
        asked(*COMMANDS[command], "--store", filled.root / "things")
    assert files(above) == before


def test_nothing_is_built_among_other_things(tmp_path, execution):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "code.py").write_text("")
    study = read_study(DATA / "tiny-digits.toml")
    with pytest.raises(StoreError, match=r"is no store: it holds src/code\.py, a file"):
        advance(study, Store(tmp_path), InProcess(), execution)
    assert list(files(tmp_path)) == ["src/code.py"]


def test_a_new_or_empty_folder_becomes_a_store(tmp_path):
    (tmp_path / ".hidden").write_text("")
    (tmp_path / "lost+found").mkdir()
    store = Store(tmp_path)
    store.check_writable()
    assert json.loads((tmp_path / MARK_FILE).read_text())["format"] == 1
    Inventory(store)


def test_a_store_of_a_later_format_and_a_damaged_mark_are_told(filled):
    mark = filled.root / MARK_FILE
    mark.write_text('{"format": 2}')
    with pytest.raises(StoreError, match="has the format 2, and this samemind reads format 1"):
        asked("list", "--store", filled.root)
    with pytest.raises(StoreError, match="has the format 2"):
        Store(filled.root).check_writable()
    mark.write_text("{")
    with pytest.raises(StoreError, match="remove the mark"):
        asked("list", "--store", filled.root)
    mark.unlink()
    Store(filled.root).check_writable()
    assert asked("verify", "--store", filled.root).exit_code == 0
    assert mark.is_file()


# -- what is not samemind's within a store


def test_what_is_no_artifact_by_its_content_is_neither_counted_nor_touched(filled):
    others = [
        "things/notes.txt",
        "things/mine/data",
        "things/mine-0123456789abcdef/data",
        "things/.draft-mine/data",
        "things/.removed-mine/data",
        "scratch/mine/data",
        "jobs/train.sbatch",
        "damaged/old/data",
        "pictures/a/b.png",
        "README",
    ]
    for name in others:
        (filled.root / name).parent.mkdir(parents=True, exist_ok=True)
        (filled.root / name).write_text("mine")
    before = files(filled.root)
    rows = json.loads(asked("size", "--store", filled.root, "--json").stdout)
    assert [(r["kind"], r["artifacts"]) for r in rows] == [
        ("piles", 1), ("things", 3), ("left over", 0)
    ]  # fmt: skip
    assert len(json.loads(asked("list", "--store", filled.root, "--json").stdout)) == 4
    told = json.loads(asked("verify", "--store", filled.root, "--json").stdout)
    assert (told["checked"], told["damaged"]) == (4, [])
    assert told["no_artifacts"] == ["things/mine-0123456789abcdef"]
    assert "nothing to remove" in asked("remove", "--store", filled.root, "--yes").stdout
    filled.sweep()
    assert files(filled.root) == before
    file = filled.path(ONE) / "data.safetensors"
    os.truncate(file, 10)
    asked("verify", "--set-aside", "--yes", "--store", filled.root)
    asked("remove", "--keep", DATA / "tiny-digits.toml", "--yes", "--store", filled.root)
    left = files(filled.root)
    assert {name: left.get(name) for name in others} == dict.fromkeys(others, b"mine")
    assert [n for n in left if n.startswith(("things/thing-", "piles/"))] == []


def test_setting_aside_asks_first_and_json_does_not_ask(filled):
    os.truncate(filled.path(ONE) / "data.safetensors", 10)
    before = files(filled.root)
    found = asked("verify", "--set-aside", "--store", filled.root, answer="n\n")
    assert ONE.name in found.stdout
    assert files(filled.root) == before
    with pytest.raises(InvalidInput, match="say --yes"):
        asked("verify", "--set-aside", "--json", "--store", filled.root)
    assert files(filled.root) == before


# -- stores of before there were marks


@pytest.fixture
def old(tmp_path: Path) -> Path:
    root = tmp_path / "old"
    with zipfile.ZipFile(DATA / "old-store.zip") as held:
        held.extractall(root)
    return root


def as_written(root: Path) -> dict[str, int]:
    return {str(p.relative_to(root)): p.stat().st_ino for p in Store(root).paths()}


def test_an_older_store_opens_and_a_run_builds_nothing(old, execution):
    study = read_study(DATA / "old-store.toml")
    before = as_written(old)
    assert asked("verify", "--store", old).exit_code == 0
    assert not (old / MARK_FILE).exists()
    recipes = {r.name: r for stage in study.stages for r in stage.recipes}
    # A version that was raised on purpose is the one reason to make something again.
    raised = {name for name, r in recipes.items() if _is_raised(r, old)}
    assert {n for n in recipes if n not in raised} <= set(before)
    assert not raised & {n for n in recipes if not n.startswith("scores/")}
    store = Store(old)
    for name in before:
        if name in recipes:
            store.open(recipes[name])
    done = advance(study, Store(old), InProcess(), execution)
    assert not done.failed
    assert done.built == len(raised)
    assert before.items() <= as_written(old).items()
    assert (old / MARK_FILE).is_file()


def _is_raised(recipe: Recipe, root: Path) -> bool:
    """Whether the store holds a recipe of this type only in an earlier version."""
    held = [json.loads(f.read_text()) for f in root.glob("*/*/recipe.json")]
    versions = {h["version"] for h in held if h["type"] == type(recipe).__name__}
    return recipe.version not in versions


def test_an_older_store_with_other_things_in_it_is_read_but_not_changed(old):
    (old / "scores" / "mine").mkdir()
    (old / "scores" / "mine" / "notes").write_text("mine")
    before = files(old)
    assert len(json.loads(asked("list", "--store", old, "--json").stdout)) == len(as_written(old))
    for command in ("set aside", "remove"):
        if command == "set aside":
            file = next(old.glob("inputs/*/inputs.safetensors"))
            os.truncate(file, 10)
            before = files(old)
        with pytest.raises(StoreError, match="is no store: it holds scores/mine, a folder"):
            asked(*COMMANDS[command], "--store", old)
    Store(old).sweep()
    assert files(old) == before
    shutil.rmtree(old / "scores" / "mine")
    assert asked("remove", "--yes", "--store", old).exit_code == 0
    assert (old / MARK_FILE).is_file()


def test_an_older_store_with_damage_in_it_is_adopted(old):
    for number, name in enumerate(("recipe.json", "checksums.json", "made.json")):
        folder = sorted(old.glob("activations/*"))[number]
        (folder / name).unlink()
    Store(old).check_writable()
    told = json.loads(asked("verify", "--store", old, "--json").stdout)
    assert len(told["damaged"]) == 3


# -- what is found from now on


def fault(store: Store, recipe: Recipe = ONE) -> str:
    return Store.fault(store.path(recipe)) or ""


def test_a_file_too_many_is_found(filled):
    (filled.path(ONE) / ".extra").write_bytes(b"")
    assert fault(filled) == ".extra is there, but checksums.json does not name it"


def test_checksums_that_leave_a_file_out_are_found(filled):
    file = filled.path(ONE) / "checksums.json"
    held = json.loads(file.read_text())
    held.pop("data.safetensors")
    file.write_text(readable_json(held))
    assert "data.safetensors is there, but" in fault(filled)


@pytest.mark.parametrize("name", ["x" * 5000, "../two", "/etc/passwd", "a\0b", "", "\ud800"])
def test_checksums_that_name_what_is_no_file_there_are_found(filled, name):
    file = filled.path(ONE) / "checksums.json"
    file.write_text(readable_json(json.loads(file.read_text()) | {name: "0" * 64}))
    assert fault(filled).endswith("is missing")
    told = json.loads(asked("verify", "--store", filled.root, "--json").stdout)
    assert [d["artifact"] for d in told["damaged"]] == [ONE.name]


def test_an_artifact_under_another_kind_or_label_is_found(filled):
    path = filled.path(ONE)
    copies = [
        filled.root / "piles" / path.name,
        path.with_name(f"other-{ONE.identity}"),
    ]
    for copy in copies:
        shutil.copytree(path, copy)
    told = json.loads(asked("verify", "--store", filled.root, "--json").stdout)
    assert told["checked"] == 6
    assert {d["artifact"] for d in told["damaged"]} == {f"{c.parent.name}/{c.name}" for c in copies}
    faults = " ".join(d["fault"] for d in told["damaged"])
    assert "lies under 'piles', but its recipe is of the kind 'things'" in faults
    assert f"was written as {ONE.name}" in faults


@pytest.mark.parametrize("name", ["recipe.json", "checksums.json", "made.json"])
@pytest.mark.parametrize("what", ["fifo", "deep", "nan", "inf", "zero", "folder", "bytes", "list"])
def test_strange_descriptions_of_one_artifact_are_damage_and_no_more(filled, name, what):
    file = filled.path(ONE) / name
    content = {
        "deep": "[" * 100_000 + "]" * 100_000,
        "nan": '{"kind": "things", "type": "Thing", "version": NaN}',
        "inf": '{"kind": "things", "type": "Thing", "version": 1e999}',
        "bytes": "\udcff\udcfe",
        "list": "[1]",
    }
    file.unlink()
    if what == "fifo":
        os.mkfifo(file)
    elif what == "zero":
        file.symlink_to("/dev/zero")
    elif what == "folder":
        file.mkdir()
    else:
        file.write_bytes(content[what].encode("utf-8", "surrogateescape"))
    told = json.loads(asked("verify", "--store", filled.root, "--json").stdout)
    assert told["checked"] == 4
    assert [d["artifact"] for d in told["damaged"]] == [ONE.name]
    rows = json.loads(asked("list", "--store", filled.root, "--json").stdout)
    assert {r["artifact"] for r in rows} == {r.name for r in (ONE, TWO, THREE, PILE)}
    assert asked("size", "--store", filled.root).exit_code == 0
    with pytest.raises(StoreError, match="is damaged"):
        Store(filled.root).open(ONE)


def test_made_json_says_what_it_was_made_for(filled):
    file = filled.path(ONE) / "made.json"
    held = json.loads(file.read_text())
    assert held["artifact"] == ONE.name
    del held["artifact"]  # as it was before
    file.write_text(made_text(held))
    assert fault(filled) == ""


# -- size


def test_what_depends_on_what_is_found_without_going_through_all_for_each(tmp_path):
    store = Store(tmp_path / "store")
    store.check_writable()
    recipes = [Thing(size=n) for n in range(300)]
    recipes += [Pile(things=(recipe,)) for recipe in recipes]
    for recipe in recipes:
        folder = store.path(recipe)
        folder.mkdir(parents=True)
        (folder / "recipe.json").write_text(readable_json(recipe.content))
    held = Inventory(store)
    assert len(held.entries) == 600

    asked_for = 0

    class Counted(dict):
        def values(self):
            nonlocal asked_for
            asked_for += 1
            return super().values()

    held.entries = Counted(held.entries)
    for entry in list(held.entries.values()):
        used = held.needed_by(entry)
        assert len(used) == (entry.kind == "things")
        assert len(held.made_of(entry)) == (entry.kind == "piles")
    # All entries are gone through once for each index, not once for each artifact.
    assert asked_for <= 3
