"""Artifacts and the store: what a recipe makes, and the folder that holds it.

The hash of all fields of a recipe names a folder, `kind/label-hash/`, and an artifact that exists
is done. The store is append-only and readable without samemind: safetensors,
Parquet and JSON. Writing goes to a hidden sibling, which one rename puts in place, so that a run
killed at any moment leaves nothing half-made.
"""

from __future__ import annotations

import shutil
import stat
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samemind.errors import DamagedArtifact, SamemindError, StoreError, UnreadableFile
from samemind.files.archives import check_size
from samemind.files.reading import parsed_json, read_json, read_text, shown
from samemind.lazy import np
from samemind.store.disk import (
    checksum,
    flush_to_disk,
    made_text,
    provenance,
    storage_error,
)
from samemind.store.leases import Leases, Process, owner, split_owner
from samemind.store.marking import (
    CHECKSUMS_FILE,
    DAMAGED_FOLDER,
    DRAFT,
    LEASES_FOLDER,
    MADE_FILE,
    NO_KINDS,
    PROBE,
    RECIPE_FILE,
    REMOVED,
    SCRATCH_FOLDER,
    cannot_be_read,
    check_is_store,
    claim,
    drafts,
    folders_of_artifacts,
    half_removed,
    is_marked,
    listed,
    not_readable,
    of_ours,
)
from samemind.store.recipes import (
    Recipe,
    canonical_json,
    described,
    identity_of,
    later,
    readable_json,
)

__all__ = [
    "NO_KINDS",
    "Artifact",
    "Draft",
    "Recipe",
    "Store",
    "described",
    "identity_of",
    "later",
]


@dataclass(frozen=True)
class Artifact:
    """A finished folder whose checksums have been checked. Read-only."""

    path: Path
    loaded: dict[str, dict[str, np.ndarray]] | None = None  # arrays that are kept in memory

    def json(self, name: str) -> Any:
        with self._reading(name) as file:
            return read_json(file)

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        from safetensors.numpy import load_file

        if self.loaded is not None and name in self.loaded:
            return dict(self.loaded[name])
        with self._reading(name) as file:
            found = load_file(file)
        if self.loaded is not None:
            self.loaded[name] = found
        return dict(found)

    def table(self, name: str):
        """The table of a Parquet file, as a pandas DataFrame."""
        import pandas as pd
        from pyarrow.parquet import read_metadata

        with self._reading(name) as file:
            held = read_metadata(file)
            # Parquet can declare endless rows of one value in a few bytes.
            check_size(held.num_rows * held.num_columns * 8, file)
            return pd.read_parquet(file)

    @contextmanager
    def _reading(self, name: str) -> Iterator[Path]:
        """Raises `StoreError` for what is not of its kind though its checksum is right."""
        try:
            yield self.path / name
        except MemoryError:
            raise
        except Exception as error:  # readers raise anything over a file that is not what it says
            cause = error.__cause__ if isinstance(error, UnreadableFile) else error
            if isinstance(cause, OSError) and cause.errno:
                raise StoreError(
                    f"{name} of {self.path} cannot be read: {cause.strerror}. Look after the disk "
                    f"and run again."
                ) from error
            reason = error.reason if isinstance(error, UnreadableFile) else error
            raise StoreError(
                f"{name} of {self.path} cannot be read: {reason}. Its checksum is right, so it was "
                f"written so, not damaged: remove the artifact (`samemind store remove`) and run "
                f"the study again."
            ) from error


@dataclass(frozen=True)
class Draft:
    """A folder being filled; it becomes the artifact when its `with` block ends well."""

    path: Path

    def write_json(self, name: str, content: Any) -> None:
        (self.path / name).write_text(readable_json(content), encoding="utf-8")

    def write_arrays(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        from safetensors import SafetensorError
        from safetensors.numpy import save_file

        try:
            save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, self.path / name)
        except SafetensorError as error:
            # Its errors hide those of the system, a full disk among them.
            raise OSError(str(error)) from error

    def write_table(self, name: str, table: Any) -> None:
        table.to_parquet(self.path / name, index=False)


class Store:
    """The artifacts below one folder, which processes and hosts may share."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self.leases = Leases(self.root / LEASES_FOLDER)
        self._began: float | None = None
        self._kept: dict[str, Artifact] = {}
        self._keeps: frozenset[str] = frozenset()
        self._is_claimed = False

    def path(self, recipe: Recipe) -> Path:
        return self.root / recipe.name

    def has(self, recipe: Recipe) -> bool:
        """Whether the artifact is there. What it holds is checked when it is opened.

        **Raises:** `StoreError` that says whose the folder is where it may not be looked into.
        """
        path = self.path(recipe)
        try:
            return stat.S_ISDIR(path.stat().st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise cannot_be_read(path.parent, error) from error

    def open(self, recipe: Recipe) -> Artifact:
        """The artifact, after comparing its recipe and every checksum.

        **Raises:** `StoreError` when it is not there, or is not what its name says; a damaged
        folder is set aside, so that the next run builds it again.
        """
        if recipe.name in self._kept:
            return self._kept[recipe.name]
        path = self.path(recipe)
        if not self.has(recipe):
            raise StoreError(
                f"{recipe.name} is not in the store {self.root} yet. Run the study that makes "
                f"it first (`samemind run STUDY`), or name another store with --store."
            )
        # What another user keeps to themselves is not damaged.
        forbidden = not_readable(path)
        if forbidden:
            raise forbidden
        fault = self.fault(path, recipe.content)
        if fault:
            aside = self.set_aside(path, recipe.content)
            where = f"It was set aside as {aside}" if aside else "It could not be set aside"
            found = f"{recipe.name} is damaged: {fault}. {where}"
            error = DamagedArtifact(f"{found}; run the study again to rebuild it.")
            error.artifact, error.found = recipe.name, found
            error.is_set_aside = aside is not None
            raise error
        if recipe.name not in self._keeps:
            return Artifact(path)
        self._kept[recipe.name] = Artifact(path, loaded={})
        return self._kept[recipe.name]

    def keep_in_memory(self, recipes: Iterable[Recipe]) -> None:
        """From now on, what is opened of these is read once and kept; all else is let go.

        Whoever gets the arrays of a kept artifact must not write into them.
        """
        self._keeps = frozenset(recipe.name for recipe in recipes)
        self._kept = {name: held for name, held in self._kept.items() if name in self._keeps}

    @staticmethod
    def fault(path: Path, content: Any = None, *, name: str | None = None) -> str | None:
        """What is wrong with a finished folder, or None.

        **Arguments:**

        - `content`: what its recipe must be; None where only the folder is known.
        - `name`: `kind/label-hash` under which it was written, where it lies elsewhere now.

        **Cost:** reads every byte.
        """
        name = name or f"{path.parent.name}/{path.name}"
        try:
            held = read_json(path / RECIPE_FILE)
            text = read_text(path / CHECKSUMS_FILE)
            checksums = parsed_json(text, path / CHECKSUMS_FILE)
            made_as = read_text(path / MADE_FILE)
        except UnreadableFile as error:
            file = Path(error.path).name
            return f"{file} is missing" if error.is_missing else f"{file}: {error.reason}"
        return (
            _fault_of_recipe(held, content, name)
            or _fault_of_files(path, checksums, text)
            or _fault_of_made(made_as, name)
        )

    @contextmanager
    def create(self, recipe: Recipe, **made: Any) -> Iterator[Draft]:
        """A draft folder that becomes the artifact when the block ends without an error.

        `made` is kept in made.json, outside the identity: device, seconds and the like. Where
        another process was first, its artifact stays and this draft is dropped.
        """
        final = self.path(recipe)
        draft = final.parent / f"{DRAFT}{final.name}-{owner()}"
        self.claim()
        try:
            draft.mkdir(parents=True)
            began = self._began or time.monotonic()
            yield Draft(draft)
            work = Draft(draft)
            work.write_json(RECIPE_FILE, recipe.content)
            # made.json is left out: it tells when and where, which no result depends on, and
            # vouches for itself.
            work.write_json(CHECKSUMS_FILE, _checksums(draft))
            text = made_text(
                {"artifact": recipe.name} | provenance(time.monotonic() - began) | made
            )
            (draft / MADE_FILE).write_text(text, encoding="utf-8")
            for file in draft.iterdir():
                flush_to_disk(file)
            flush_to_disk(draft)
            try:
                draft.rename(final)
            except OSError:
                if not self.has(recipe):
                    raise
            # Both: the folder of the kind may be new as well.
            flush_to_disk(final.parent)
            flush_to_disk(self.root)
        except OSError as error:
            if isinstance(error, SamemindError):
                raise  # of what the block read, not of what is written here
            # Whoever took over a lease removes the drafts of the one who seemed gone.
            if not self.has(recipe):
                raise storage_error(self.root, error) from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def build_began(self) -> None:
        """From now on counts the time that the next artifact took, for its made.json."""
        self._began = time.monotonic()

    def scratch(self, recipe: Recipe) -> Path:
        """A folder for the resume state of a long build, named after its recipe."""
        path = self.scratch_path(recipe)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(self.root, error) from error
        return path

    def scratch_path(self, recipe: Recipe) -> Path:
        """Where the scratch folder of a recipe is, if there is one."""
        return self.root / SCRATCH_FOLDER / recipe.name.replace("/", "-")

    def check_writable(self) -> None:
        """Raises `StoreError` with what to do when nothing can be written here, or it is no store.

        A new folder, or a store of before stores had a mark, gets its mark.
        """
        self.claim()
        try:
            probe = self.root / f"{PROBE}{owner()}"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise storage_error(self.root, error) from error

    def check_is_there(self) -> None:
        """Raises `StoreError` for what is no store: it has no mark and holds no artifact."""
        check_is_store(self.root)

    def claim(self) -> None:
        """Makes the folder a store, or a store of before there were marks one with a mark.

        Nothing is written, moved or removed below a folder that is none.

        **Raises:** `StoreError` where it holds what is not samemind's, or cannot be written.
        """
        if not self._is_claimed:
            claim(self.root)
            self._is_claimed = True

    def sweep(self) -> None:
        """Removes what killed runs left behind: drafts, leases, resume states of finished builds.

        What a living process may still be writing stays, and so does what another host began,
        until its artifact is there. In a folder that is no store nothing is touched.
        """
        try:
            if not is_marked(self.root):
                self.claim() if self.root.is_dir() else None
        except StoreError:
            return  # not ours, or not to be written: whoever builds here is told
        for draft in drafts(self.root):
            self._remove_draft_if_abandoned(draft, is_moot=self._is_finished(draft))
        for removed in half_removed(self.root):
            shutil.rmtree(removed, ignore_errors=True)
        for probe in listed(self.root):
            _, who = split_owner(probe.name)
            if probe.name.startswith(PROBE) and who is not None and who.is_gone:
                probe.unlink(missing_ok=True)
        finished = {f"{path.parent.name}-{path.name}" for path in self.paths()}
        for scratch in of_ours(self.root, SCRATCH_FOLDER):
            if scratch.name in finished:
                shutil.rmtree(scratch, ignore_errors=True)
        self.leases.sweep()

    def paths(self) -> Iterator[Path]:
        """The folders of all finished artifacts, by their names, in no order."""
        return folders_of_artifacts(self.root)

    def remove_drafts_of(self, recipe: Recipe) -> None:
        """Removes the drafts of earlier builders of a recipe; for the holder of its lease."""
        final = self.path(recipe)
        for draft in listed(final.parent):
            if draft.name.startswith(f"{DRAFT}{final.name}-"):
                self._remove_draft_if_abandoned(draft, is_moot=True)

    def remove(self, path: Path) -> None:
        """Removes a finished artifact: at once, as readers see it."""
        gone = path.with_name(f"{REMOVED}{uuid.uuid4().hex[:8]}-{path.name}")
        try:
            path.rename(gone)
        except OSError as error:
            raise storage_error(self.root, error) from error
        shutil.rmtree(gone, ignore_errors=True)

    def set_aside(self, path: Path, content: Any = None) -> Path | None:
        """Where a damaged artifact was moved to, out of the way of the one built in its place.

        None where it could not be moved. Another process may have replaced it meanwhile by a
        sound one: that one stays.
        """
        if not_readable(path):
            return None
        folder = self.root / DAMAGED_FOLDER
        aside = folder / f"{path.parent.name}-{uuid.uuid4().hex[:8]}-{path.name}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path.rename(aside)
        except FileNotFoundError:
            return folder  # by somebody else, in this moment
        except OSError:
            return None
        if self.fault(aside, content, name=f"{path.parent.name}/{path.name}") is None:
            try:
                aside.rename(path)
            except OSError:
                shutil.rmtree(aside, ignore_errors=True)
            return folder
        return aside

    def _is_finished(self, draft: Path) -> bool:
        name, _ = split_owner(draft.name.removeprefix(DRAFT))
        return (draft.parent / name).is_dir()

    @staticmethod
    def _remove_draft_if_abandoned(draft: Path, *, is_moot: bool) -> None:
        _, who = split_owner(draft.name)
        if who is None:
            return
        is_from_here = who.place == Process.this().place
        if who.is_gone or (is_moot and not is_from_here):
            shutil.rmtree(draft, ignore_errors=True)


def _checksums(draft: Path) -> dict[str, str]:
    try:
        return {file.name: checksum(file) for file in sorted(draft.iterdir())}
    except UnreadableFile as error:
        # Somebody removed the draft, or the disk fails: an error of the store like any other.
        raise OSError(str(error)) from error


def _fault_of_recipe(held: Any, content: Any, name: str) -> str | None:
    """Of what recipe.json holds, for an artifact of this name."""
    kind, _, folder = name.rpartition("/")
    if content is not None and canonical_json(held) != canonical_json(content):
        return f"{RECIPE_FILE} is not the recipe that its name stands for"
    if not folder.endswith(f"-{identity_of(held)}"):
        return f"{RECIPE_FILE} does not hash to the folder's name"
    if not isinstance(held, dict) or held.get("kind") != kind:
        of = held.get("kind") if isinstance(held, dict) else None
        return f"it lies under '{kind}', but its recipe is of the kind '{of}'"
    return None


def _fault_of_files(path: Path, checksums: Any, text: str) -> str | None:
    """Of the files of a folder, of which checksums.json must name each but two, and no other."""
    if not isinstance(checksums, dict) or RECIPE_FILE not in checksums:
        return f"{CHECKSUMS_FILE} is incomplete"
    if text != readable_json(checksums):
        return f"{CHECKSUMS_FILE} was edited"
    try:
        there = {file.name for file in path.iterdir()}
    except OSError as error:
        return f"it cannot be listed ({error.strerror})"
    # By name, not by looking: a name may be too long for a file, or lead elsewhere.
    for name in sorted(checksums.keys() - there):
        return f"{_short(name)} is missing"
    for name in sorted(there - checksums.keys() - {CHECKSUMS_FILE, MADE_FILE}):
        return f"{_short(name)} is there, but {CHECKSUMS_FILE} does not name it"
    for name, expected in checksums.items():
        try:
            if checksum(path / name) != expected:
                return f"{_short(name)} does not have the checksum it was written with"
        except UnreadableFile as error:
            return f"{_short(name)}: {error.reason}"
    return None


def _fault_of_made(text: str, name: str) -> str | None:
    """Of the text of made.json, which vouches for itself and says what it was made for."""
    try:
        held = parsed_json(text, MADE_FILE)
    except UnreadableFile as error:
        return f"{MADE_FILE}: {error.reason}"
    if not isinstance(held, dict) or text != made_text(held):
        return f"{MADE_FILE} does not have the checksum it was written with"
    # What was made before made.json said so is told by its recipe alone.
    if held.get("artifact", name) != name:
        return f"it was written as {_short(str(held['artifact']))}"
    return None


def _short(name: str) -> str:
    text = shown(name)
    return text if len(text) <= 200 else f"{text[:200]}…"
