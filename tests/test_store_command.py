"""`samemind store`: what it finds, what it says depends on what, and what it removes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from typer.testing import CliRunner

from samemind.cli import app
from samemind.errors import InvalidInput, StoreError
from samemind.store.artifacts import Recipe, Store
from samemind.store.marking import MARK_FILE
from samemind.study import read_study

TINY = Path(__file__).parent / "data" / "tiny-digits.toml"


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
            draft.write_arrays("data.safetensors", {"x": np.zeros(1000, np.float32)})
    return store


def asked(*arguments: object, answer: str = ""):
    found = CliRunner().invoke(app, ["store", *map(str, arguments)], input=answer)
    if found.exception and not isinstance(found.exception, SystemExit):
        raise found.exception
    return found


def names(store: Store) -> set[str]:
    return {f"{p.parent.name}/{p.name}" for p in store.paths()}


def test_list_says_what_depends_on_what(filled: Store):
    rows = json.loads(asked("list", "--store", filled.root, "--json").stdout)
    found = {row["artifact"]: row for row in rows}
    assert set(found) == {r.name for r in (ONE, TWO, THREE, PILE)}
    assert found[PILE.name]["made_of"] == sorted([ONE.name, TWO.name])
    assert found[ONE.name]["needed_by"] == [PILE.name]
    assert found[THREE.name]["needed_by"] == []
    assert all(row["bytes"] > 4000 for row in rows)
    assert THREE.name in asked("list", "--store", filled.root, "--kind", "things").stdout
    with pytest.raises(InvalidInput, match="Did you mean 'piles'"):
        asked("list", "--store", filled.root, "--kind", "pile")


def test_list_of_one_artifact_names_all_that_it_depends_on(filled: Store):
    told = asked("list", PILE.name, "--store", filled.root).stdout.splitlines()
    things = sorted([ONE.name, TWO.name])
    assert told == [
        PILE.name, "  made of:", *(f"    {name}" for name in things), "  needed by: nothing here"
    ]  # fmt: skip
    rows = json.loads(asked("list", ONE.name, "--store", filled.root, "--json").stdout)
    assert [row["needed_by"] for row in rows] == [[PILE.name]]
    with pytest.raises(InvalidInput, match=f"Did you mean '{ONE.name}'"):
        asked("list", ONE.name[:-1], "--store", filled.root)


def test_size_counts_each_kind_and_what_is_left_over(filled: Store):
    old = filled.root / "damaged" / f"things-0a1b2c3d-{filled.path(ONE).name}"
    old.mkdir(parents=True)
    (old / "data").write_bytes(bytes(500))
    rows = json.loads(asked("size", "--store", filled.root, "--json").stdout)
    assert [(r["kind"], r["artifacts"]) for r in rows] == [
        ("piles", 1),
        ("things", 3),
        ("left over", 1),
    ]
    assert rows[-1]["bytes"] == 500
    files = (f for f in filled.root.rglob("*") if f.is_file() and f.name != MARK_FILE)
    held = sum(f.stat().st_size for f in files)
    assert sum(row["bytes"] for row in rows) == held


def test_verify_finds_damage_names_what_was_made_of_it_and_sets_it_aside(filled: Store):
    assert asked("verify", "--store", filled.root).exit_code == 0
    file = filled.path(ONE) / "data.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    found = asked("verify", "--store", filled.root, "--json")
    assert found.exit_code == 1
    told = json.loads(found.stdout)
    assert told["checked"] == 4
    assert [d["artifact"] for d in told["damaged"]] == [ONE.name]
    assert told["damaged"][0]["needed_by"] == [PILE.name]
    assert "data.safetensors does not have the checksum" in told["damaged"][0]["fault"]
    declined = asked("verify", "--store", filled.root, "--set-aside", answer="n\n")
    assert (declined.exit_code, len(names(filled))) == (1, 4)
    assert asked("verify", "--store", filled.root, "--set-aside", answer="y\n").exit_code == 1
    assert names(filled) == {TWO.name, THREE.name, PILE.name}
    assert asked("verify", "--store", filled.root).exit_code == 0


def test_remove_refuses_what_others_need_and_removes_all_when_told(filled: Store):
    with pytest.raises(InvalidInput, match=r"1 artifacts were made of these.*--with-dependents"):
        asked("remove", ONE.name, "--store", filled.root, "--yes")
    with pytest.raises(InvalidInput, match=f"Did you mean '{THREE.name}'"):
        asked("remove", THREE.name[:-1], "--store", filled.root)
    assert len(names(filled)) == 4
    assert asked("remove", ONE.name, "--store", filled.root, "--with-dependents", "--yes")
    assert names(filled) == {TWO.name, THREE.name}


def test_remove_shows_and_asks_first(filled: Store):
    found = asked("remove", THREE.name, "--store", filled.root, answer="n\n")
    assert THREE.name in found.stdout
    assert "Nothing was removed" in found.stdout
    assert len(names(filled)) == 4
    asked("remove", THREE.name, "--store", filled.root, answer="y\n")
    assert THREE.name not in names(filled)


def test_remove_alone_takes_leftovers_only(filled: Store):
    filled.scratch(ONE)
    (filled.root / "things" / ".draft-thing-0-a_host-0-1-1-00000000").mkdir()
    old = filled.root / "damaged" / f"things-0a1b2c3d-{filled.path(ONE).name}"
    old.mkdir(parents=True)
    assert "3 removed" in asked("remove", "--store", filled.root, "--yes").stdout
    assert len(names(filled)) == 4
    assert "nothing to remove" in asked("remove", "--store", filled.root, "--yes").stdout


def test_remove_keeps_what_the_named_studies_need_with_all_that_is_upstream(filled: Store):
    study = read_study(TINY)
    for recipe in (study.natural, study.checkpoints[0]):
        with filled.create(recipe) as draft:
            draft.write_json("content.json", 1)
    asked("remove", "--keep", TINY, "--store", filled.root, "--yes")
    assert names(filled) == {study.natural.name, study.checkpoints[0].name}


def test_nothing_is_removed_while_somebody_is_at_work(filled: Store):
    lease = filled.leases.take("things/new")
    assert lease is not None
    with lease, pytest.raises(StoreError, match=r"at work .* \(things/new\)"):
        asked("remove", THREE.name, "--store", filled.root, "--yes")


def test_a_store_that_is_not_there_is_told(tmp_path: Path):
    with pytest.raises(StoreError, match=r"There is no store at .*nowhere"):
        asked("verify", "--store", tmp_path / "nowhere")
