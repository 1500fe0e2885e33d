"""Artifacts and the store: what a recipe makes, and the folder that holds it.

The hash of all fields of a recipe names a folder, `kind/label-hash/`, and an artifact that exists
is done. The store is append-only and readable without samemind: safetensors,
Parquet and JSON. Writing goes to a hidden sibling, which one rename puts in place, so that a run
killed at any moment leaves nothing half-made.
"""

import json
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from samemind.errors import DamagedArtifact, SamemindError, StoreError
from samemind.files.archives import check_size
from samemind.store.disk import (
    checksum,
    flush_to_disk,
    made_text,
    provenance,
    storage_error,
    trouble_with_made,
)
from samemind.store.leases import Leases, Process, owner, split_owner
from samemind.store.recipes import (
    Recipe,
    canonical_json,
    described,
    identity_of,
    later,
    readable_json,
)

__all__ = ["Artifact", "Draft", "Recipe", "Store", "described", "identity_of", "later"]

RECIPE_FILE = "recipe.json"
CHECKSUMS_FILE = "checksums.json"
MADE_FILE = "made.json"
DRAFT = ".draft-"
REMOVED = ".removed-"
PROBE = ".probe-"
SCRATCH_FOLDER = "scratch"
DAMAGED_FOLDER = "damaged"
LEASES_FOLDER = "leases"
JOBS_FOLDER = "jobs"  # what an engine writes down about the jobs it was given
NO_KINDS = (SCRATCH_FOLDER, DAMAGED_FOLDER, LEASES_FOLDER, JOBS_FOLDER)


@dataclass(frozen=True)
class Artifact:
    """A finished folder whose checksums have been checked. Read-only."""

    path: Path
    loaded: dict[str, dict[str, np.ndarray]] | None = None  # arrays that are kept in memory

    def json(self, name: str) -> Any:
        with self._reading(name) as file:
            return json.loads(file.read_text(encoding="utf-8"))

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
            if isinstance(error, OSError) and error.errno:
                raise StoreError(
                    f"{name} of {self.path} cannot be read: {error.strerror}. Look after the disk "
                    f"and run again."
                ) from error
            raise StoreError(
                f"{name} of {self.path} cannot be read: {error}. Its checksum is right, so it was "
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

    def path(self, recipe: Recipe) -> Path:
        return self.root / recipe.name

    def has(self, recipe: Recipe) -> bool:
        """Whether the artifact is there. What it holds is checked when it is opened."""
        return self.path(recipe).is_dir()

    def open(self, recipe: Recipe) -> Artifact:
        """The artifact, after comparing its recipe and every checksum.

        **Raises:** `StoreError` when it is not there, or is not what its name says; a damaged
        folder is set aside, so that the next run builds it again.
        """
        if recipe.name in self._kept:
            return self._kept[recipe.name]
        path = self.path(recipe)
        if not path.is_dir():
            raise StoreError(
                f"{recipe.name} is not in the store {self.root} yet. Run the study that makes "
                f"it first (`samemind run STUDY`), or name another store with --store."
            )
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
    def fault(path: Path, content: Any = None) -> str | None:
        """What is wrong with a finished folder, or None. `content` is what its recipe must be."""
        try:
            held = json.loads((path / RECIPE_FILE).read_text(encoding="utf-8"))
            text = (path / CHECKSUMS_FILE).read_text(encoding="utf-8")
            checksums: dict[str, str] = json.loads(text)
        except FileNotFoundError as error:
            return f"{Path(error.filename).name} is missing"
        except (OSError, ValueError) as error:
            return f"its description cannot be read ({error})"
        if content is not None and canonical_json(held) != canonical_json(content):
            return f"{RECIPE_FILE} is not the recipe that its name stands for"
        if not path.name.endswith(f"-{identity_of(held)}"):
            return f"{RECIPE_FILE} does not hash to the folder's name"
        if not isinstance(checksums, dict) or RECIPE_FILE not in checksums:
            return f"{CHECKSUMS_FILE} is incomplete"
        if text != readable_json(checksums):
            return f"{CHECKSUMS_FILE} was edited"
        for name, expected in checksums.items():
            file = path / name
            if not file.is_file():
                return f"{name} is missing"
            try:
                if checksum(file) != expected:
                    return f"{name} does not have the checksum it was written with"
            except OSError as error:
                return f"{name} cannot be read ({error.strerror or error})"
        return trouble_with_made(path / MADE_FILE)

    @contextmanager
    def create(self, recipe: Recipe, **made: Any) -> Iterator[Draft]:
        """A draft folder that becomes the artifact when the block ends without an error.

        `made` is kept in made.json, outside the identity: device, seconds and the like. Where
        another process was first, its artifact stays and this draft is dropped.
        """
        final = self.path(recipe)
        draft = final.parent / f"{DRAFT}{final.name}-{owner()}"
        try:
            draft.mkdir(parents=True)
            began = self._began or time.monotonic()
            yield Draft(draft)
            work = Draft(draft)
            work.write_json(RECIPE_FILE, recipe.content)
            # made.json is left out: it tells when and where, which no result depends on, and
            # vouches for itself.
            files = sorted(draft.iterdir())
            work.write_json(CHECKSUMS_FILE, {f.name: checksum(f) for f in files})
            text = made_text(provenance(time.monotonic() - began) | made)
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
        """Raises `StoreError` with what to do when nothing can be written here."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            probe = self.root / f"{PROBE}{owner()}"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise storage_error(self.root, error) from error

    def sweep(self) -> None:
        """Removes what killed runs left behind: drafts, leases, resume states of finished builds.

        What a living process may still be writing stays, and so does what another host began,
        until its artifact is there.
        """
        for draft in self.root.glob(f"*/{DRAFT}*"):
            self._remove_draft_if_abandoned(draft, is_moot=self._is_finished(draft))
        for removed in self.root.glob(f"*/{REMOVED}*"):
            shutil.rmtree(removed, ignore_errors=True)
        for probe in self.root.glob(f"{PROBE}*"):
            _, who = split_owner(probe.name)
            if who is not None and who.is_gone:
                probe.unlink(missing_ok=True)
        finished = {f"{path.parent.name}-{path.name}" for path in self.paths()}
        for scratch in (self.root / SCRATCH_FOLDER).glob("*"):
            if scratch.name in finished:
                shutil.rmtree(scratch, ignore_errors=True)
        self.leases.sweep()

    def paths(self) -> Iterator[Path]:
        """The folders of all finished artifacts, in no order."""
        for kind in self.root.glob("*"):
            if kind.is_dir() and kind.name not in NO_KINDS:
                yield from (p for p in kind.iterdir() if p.is_dir() and p.name[:1] != ".")

    def remove_drafts_of(self, recipe: Recipe) -> None:
        """Removes the drafts of earlier builders of a recipe; for the holder of its lease."""
        final = self.path(recipe)
        for draft in final.parent.glob(f"{DRAFT}{final.name}-*"):
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
        folder = self.root / DAMAGED_FOLDER
        aside = folder / f"{path.parent.name}-{uuid.uuid4().hex[:8]}-{path.name}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path.rename(aside)
        except FileNotFoundError:
            return folder  # by somebody else, in this moment
        except OSError:
            return None
        if self.fault(aside, content) is None:
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
