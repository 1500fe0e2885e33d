"""The store: identity, atomic writes, damage found on opening, and many writers at once."""

import errno
import json
import multiprocessing
import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samemind.errors import DamagedArtifact, DataError, StoreError, UnreadableFile
from samemind.store import artifacts
from samemind.store.artifacts import Recipe, Store, _short, described, identity_of, later
from samemind.store.disk import storage_error, system_number
from samemind.store.leases import Process, owner


@dataclass(frozen=True, kw_only=True)
class Thing(Recipe):
    kind: ClassVar[str] = "things"
    size: float
    colour: str = "red"


@dataclass(frozen=True, kw_only=True)
class Pile(Recipe):
    kind: ClassVar[str] = "piles"
    things: tuple[Thing, ...]


@dataclass(frozen=True, kw_only=True)
class Titled(Recipe):
    kind: ClassVar[str] = "titled"
    title: str

    @property
    def label(self) -> str:
        return self.title


def make(store: Store, recipe: Recipe, value: float = 1.0) -> None:
    with store.create(recipe) as draft:
        draft.write_arrays("data.safetensors", {"x": np.full(3, value)})


def test_the_same_fields_give_the_same_name_and_other_fields_another():
    assert Thing(size=1).name == Thing(size=1.0).name
    names = {Thing(size=1).name, Thing(size=2).name, Thing(size=1, colour="blue").name}
    assert len(names) == 3


def test_what_is_upstream_is_part_of_the_identity():
    assert Pile(things=(Thing(size=1),)).name != Pile(things=(Thing(size=2),)).name


def test_the_version_of_a_recipe_class_is_part_of_the_identity():
    class Thing2(Thing):
        version: ClassVar[int] = 2

    before, after = described(Thing(size=1)), described(Thing2(size=1))
    assert (before["version"], after["version"]) == (1, 2)


def test_a_field_added_later_leaves_old_artifacts_where_they_are():
    @dataclass(frozen=True, kw_only=True)
    class Extended(Thing):
        weight: float | None = later(None)
        shape: str = later("ball", as_before="cube")

    def content(recipe: Recipe) -> dict:
        return described(recipe) | {"type": "Thing"}

    old = Thing(size=1)
    assert identity_of(content(Extended(size=1, shape="cube"))) == old.identity
    assert identity_of(content(Extended(size=1))) != old.identity
    assert identity_of(content(Extended(size=1, shape="cube", weight=2))) != old.identity


def test_an_artifact_holds_exactly_what_was_hashed(store: Store):
    recipe = Pile(things=(Thing(size=1), Thing(size=2)))
    make(store, recipe)
    held = store.open(recipe).json("recipe.json")
    assert identity_of(held) == recipe.identity
    # The identity of each part can be worked out from the description of the whole.
    assert identity_of(held["things"][1]) == Thing(size=2).identity


def test_arrays_come_back_as_they_were(store: Store):
    make(store, Thing(size=1), 0.1)
    found = store.open(Thing(size=1)).arrays("data.safetensors")["x"]
    np.testing.assert_array_equal(found, np.full(3, 0.1))


def test_an_error_while_making_leaves_nothing(store: Store):
    def interrupted() -> None:
        with store.create(Thing(size=1)) as draft:
            draft.write_json("half.json", 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        interrupted()
    assert not store.has(Thing(size=1))
    assert not list((store.root / "things").iterdir())


def test_the_first_writer_wins(store: Store):
    with store.create(Thing(size=1)) as slow:
        make(store, Thing(size=1), value=1.0)
        slow.write_arrays("data.safetensors", {"x": np.full(3, 2.0)})
    assert store.open(Thing(size=1)).arrays("data.safetensors")["x"][0] == 1.0
    assert len(list((store.root / "things").iterdir())) == 1


def test_opening_what_is_not_there_says_what_to_run(store: Store):
    with pytest.raises(StoreError, match=r"things/thing-\w+ is not in the store .* Run the study"):
        store.open(Thing(size=1))


@given(where=st.integers(0, 10**6), bit=st.integers(0, 7), file=st.integers(0, 3))
def test_any_flipped_bit_is_found(tmp_path_factory, where: int, bit: int, file: int):
    store = Store(tmp_path_factory.mktemp("store"))
    make(store, Thing(size=1))
    path = store.path(Thing(size=1))
    name = ["data.safetensors", "recipe.json", "checksums.json", "made.json"][file]
    content = bytearray((path / name).read_bytes())
    content[where % len(content)] ^= 1 << bit
    (path / name).write_bytes(content)
    with pytest.raises(DamagedArtifact, match="is damaged"):
        store.open(Thing(size=1))
    assert not store.has(Thing(size=1))
    make(store, Thing(size=1))
    store.open(Thing(size=1))


@pytest.mark.parametrize("name", ["data.safetensors", "recipe.json", "checksums.json", "made.json"])
@pytest.mark.parametrize("damage", ["truncated", "deleted"])
def test_truncated_and_deleted_files_are_found(store: Store, name: str, damage: str):
    make(store, Thing(size=1))
    file = store.path(Thing(size=1)) / name
    if damage == "deleted":
        file.unlink()
    else:
        os.truncate(file, file.stat().st_size // 2)
    with pytest.raises(DamagedArtifact, match=name if damage == "deleted" else "damaged"):
        store.open(Thing(size=1))


def test_a_folder_under_another_name_is_refused(store: Store):
    make(store, Thing(size=1))
    store.path(Thing(size=1)).rename(store.path(Thing(size=2)))
    with pytest.raises(DamagedArtifact, match="not the recipe that its name stands for"):
        store.open(Thing(size=2))


def _write(root: Path, value: float) -> None:
    make(Store(root), Thing(size=1), value)


def test_eight_writers_at_once_leave_one_whole_artifact(store: Store):
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write, args=(store.root, float(i))) for i in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    values = store.open(Thing(size=1)).arrays("data.safetensors")["x"]
    assert len(set(values)) == 1
    assert len(list((store.root / "things").iterdir())) == 1


def test_a_store_that_cannot_be_written_says_what_to_do(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"Cannot write to the store .*--store"):
        Store(tmp_path / "file").check_writable()


def test_what_dead_processes_left_is_removed_and_what_living_ones_write_stays(store: Store):
    make(store, Thing(size=1))
    make(store, Thing(size=2))
    this = Process.this()
    finished, unfinished = Thing(size=1).name, Thing(size=3).name

    def draft(name: str, place: str, process: int, born: str) -> Path:
        path = store.root / name
        path = path.with_name(f".draft-{path.name}-a_host-{place}-{process}-{born}-0123abcd")
        path.mkdir(parents=True)
        return path

    dead = draft(unfinished, this.place, 2**22 + 1, "1")
    reused = draft(unfinished, this.place, this.process, "1")  # the same number, an older process
    alive = draft(finished, this.place, this.process, this.born)
    elsewhere = draft(unfinished, "otherwhere", 1, "1")
    moot = draft(finished, "otherwhere", 1, "1")
    store.scratch(Thing(size=2))
    store.scratch(Thing(size=3))
    store.sweep()
    found = [d.exists() for d in (dead, reused, alive, elsewhere, moot)]
    assert found == [False, False, True, True, False]
    assert not store.scratch_path(Thing(size=2)).exists()
    assert store.scratch_path(Thing(size=3)).exists()


def test_the_time_and_place_are_kept_but_no_checksum_depends_on_them(store: Store):
    make(store, Thing(size=1))
    path = store.path(Thing(size=1))
    made = json.loads((path / "made.json").read_text())
    assert {"samemind", "torch", "host", "time", "seconds"} <= set(made)
    assert "made.json" not in json.loads((path / "checksums.json").read_text())


def test_an_error_of_what_is_read_while_making_is_told_as_it_is(store: Store):
    recipe = Thing(size=3)
    with pytest.raises(DataError, match=r"a\.png cannot be read"), store.create(recipe):
        raise DataError("The image a.png cannot be read.")
    assert not store.has(recipe)


def test_a_probe_that_a_dead_process_left_is_removed(store: Store):
    store.check_writable()
    here = Process.this()
    dead = f"{here.host.replace('-', '_')}-{here.place}-{2**22 + 1}-1-00000000"
    for who in (dead, owner()):
        (store.root / f".probe-{who}").touch()
    store.sweep()
    (left,) = store.root.glob(".probe-*")
    assert str(here.process) in left.name


def test_long_names_in_other_scripts_fit_into_a_file_name(store: Store):
    recipe = Titled(title="界" * 200)
    with store.create(recipe) as draft:
        draft.write_json("content.json", 1)
    assert store.open(recipe).json("content.json") == 1
    assert len(store.path(recipe).name.encode()) <= 140


def test_what_has_the_right_checksum_but_is_nothing_of_its_kind_is_an_error(store: Store):
    recipe = Thing(size=4)
    with store.create(recipe) as draft:
        for name in ("a.json", "a.safetensors", "a.parquet"):
            (draft.path / name).write_bytes(b"{nothing")
    held = store.open(recipe)
    for read, name in ((held.json, "json"), (held.arrays, "safetensors"), (held.table, "parquet")):
        with pytest.raises(StoreError, match=rf"a\.{name} of .* Its checksum is right"):
            read(f"a.{name}")
    with pytest.raises(StoreError, match="No such file"):
        held.json("b.json")


def test_a_sound_artifact_that_another_process_put_in_place_stays_there(store: Store):
    """Between finding damage and setting it aside somebody else may have mended it."""
    recipe = Thing(size=1)
    make(store, recipe)
    path = store.path(recipe)
    assert store.set_aside(path, recipe.content) == store.root / "damaged"
    assert store.open(recipe).arrays("data.safetensors")["x"].tolist() == [1, 1, 1]
    assert list((store.root / "damaged").iterdir()) == []
    # One that is damaged goes, under a name that says what it was.
    (path / "data.safetensors").write_bytes(b"")
    aside = store.set_aside(path, recipe.content)
    assert aside is not None
    assert aside.parent == store.root / "damaged"
    assert aside.name.startswith("things-")
    assert aside.name.endswith(path.name)
    assert not path.exists()
    # Gone by somebody else's hand in this moment.
    assert store.set_aside(path, recipe.content) == store.root / "damaged"


def test_what_is_kept_in_memory_is_read_once_and_let_go(store: Store):
    kept, other = Thing(size=1), Thing(size=2)
    for recipe in (kept, other):
        make(store, recipe)
    store.keep_in_memory([kept])
    assert store.open(kept) is store.open(kept)
    assert store.open(other) is not store.open(other)
    held = store.open(kept)
    assert held.arrays("data.safetensors")["x"] is held.arrays("data.safetensors")["x"]
    store.keep_in_memory([kept, other])
    assert store.open(kept) is held
    store.keep_in_memory([])
    assert store.open(kept) is not held


# -- words of errors, and where limits lie


@pytest.mark.parametrize(
    ("number", "advice", "is_known"),
    [
        (errno.ENOSPC, "free some space and run again", True),
        (errno.EROFS, "name another store with --store", True),
        (errno.EACCES, "Ask its owner for the right", True),
        (errno.EPERM, "Ask its owner for the right", True),
        (errno.EIO, "Name another store with --store, or mend this one", False),
    ],
)
def test_what_the_system_says_is_told_with_what_to_do(number, advice, is_known, tmp_path):
    place = tmp_path / "place"
    place.touch()
    place.chmod(0o640)
    os_error = OSError(number, "in the system's words", str(place))
    # Libraries that write files say the number in their text only.
    for error in (os_error, OSError(f"IO error: x (os error {number})")):
        found = storage_error(tmp_path, error)
        assert os.strerror(number) in str(found)
        assert advice in str(found)
        assert found.cannot_write == is_known
    told = str(storage_error(tmp_path, os_error))
    is_about_rights = number in (errno.EACCES, errno.EPERM)
    assert (str(place) in told) == is_about_rights
    assert ("-rw-r-----" in told) == is_about_rights
    assert system_number(os_error) == number
    assert system_number(OSError(f"x (os error {number})")) == number
    assert system_number(OSError("no number")) == 0
    # The number of the error counts before one that its text has.
    assert system_number(OSError(number, "errno 99")) == number
    plain = storage_error(tmp_path, OSError("something else"))
    assert "something else" in str(plain)
    assert storage_error(tmp_path, plain) is plain


def test_what_a_disk_does_is_told_otherwise_than_what_a_file_is(tmp_path):
    artifact = made_in(tmp_path)

    def told(error: Exception) -> str:
        with pytest.raises(StoreError) as caught, artifact._reading("data.safetensors"):
            raise error
        return str(caught.value)

    broken = OSError(errno.EIO, "Input/output error")
    unreadable = UnreadableFile("x", "it is short")
    assert "Look after the disk" in told(broken)
    assert "Its checksum is right" in told(ValueError("no table"))
    assert "Its checksum is right" in told(unreadable)
    unreadable.__cause__ = broken
    assert "Look after the disk" in told(unreadable)
    error = ValueError("no table")
    error.__cause__ = broken
    assert "Its checksum is right" in told(error)


def made_in(folder: Path):
    store = Store(folder / "store")
    make(store, Thing(size=1))
    return store.open(Thing(size=1))


def test_names_that_are_told_are_cut_at_two_hundred_letters():
    assert _short("x" * 200) == "x" * 200
    assert _short("x" * 201) == "x" * 200 + "…"


def test_a_table_counts_as_eight_bytes_a_number(tmp_path, monkeypatch):
    store = Store(tmp_path / "store")
    with store.create(Thing(size=1)) as draft:
        draft.write_table("t.parquet", pd.DataFrame({"a": range(10), "b": range(10)}))
    counted = []
    monkeypatch.setattr(artifacts, "check_size", lambda size, _: counted.append(size))
    assert len(store.open(Thing(size=1)).table("t.parquet")) == 10
    assert counted == [10 * 2 * 8]
