"""Recipes and the store: what an artifact is, and the folder that holds it.

A recipe says what to make. The hash of all its fields names a folder, `kind/label-hash/`, and an
artifact that exists is done. The store is append-only and readable without samemind: safetensors,
Parquet and JSON. Writing goes to a hidden sibling, which one rename puts in place, so that a run
killed at any moment leaves nothing half-made.
"""

import errno
import hashlib
import json
import os
import shutil
import socket
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from samemind.errors import DamagedArtifact, StoreError

RECIPE_FILE = "recipe.json"
CHECKSUMS_FILE = "checksums.json"
MADE_FILE = "made.json"


def later(default: Any, *, as_before: Any = MISSING) -> Any:
    """A recipe field added after artifacts exist.

    While it holds `as_before` (its default, unless said otherwise) it takes no part in the
    identity, so that what was made before the field existed is still found.
    """
    return field(
        default=default, metadata={"as_before": default if as_before is MISSING else as_before}
    )


def described(value: Any) -> Any:
    """The plain JSON value that stands for a recipe, a record or a number in an identity."""
    if is_dataclass(value) and not isinstance(value, type):
        content = {"type": type(value).__name__}
        if isinstance(value, Recipe):
            content |= {"kind": value.kind, "version": value.version}
        for item in fields(value):
            held = getattr(value, item.name)
            if "as_before" in item.metadata and held == item.metadata["as_before"]:
                continue
            # 1 and 1.0 are the same radius, so they must be the same recipe.
            if item.type in (float, "float") and held is not None:
                held = float(held)
            content[item.name] = described(held)
        return content
    if isinstance(value, Mapping):
        return {str(key): described(held) for key, held in value.items()}
    if isinstance(value, (tuple, list)):
        return [described(held) for held in value]
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    raise TypeError(f"A recipe holds plain data, not {type(value).__name__}: {value!r}.")


def canonical_json(content: Any) -> str:
    """One text for one content: sorted keys, no spaces, no NaN."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)


def identity_of(content: Any) -> str:
    """The hash that names an artifact, from what `described` gives (or recipe.json holds)."""
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What to make: plain data, hashed in full, what is upstream included.

    Raise `version` by hand when the same fields come to mean another result. Device, batch size
    and the number of workers are not fields: they must not change what is made.
    """

    kind: ClassVar[str]
    version: ClassVar[int] = 1

    @property
    def label(self) -> str:
        """The readable part of the folder's name."""
        return type(self).__name__.lower()

    @cached_property
    def content(self) -> dict[str, Any]:
        return described(self)

    @cached_property
    def identity(self) -> str:
        return identity_of(self.content)

    @property
    def name(self) -> str:
        """The address of the artifact within a store: `kind/label-hash`."""
        readable = "".join(c if c.isalnum() or c in "._" else "-" for c in self.label)
        return f"{self.kind}/{readable[:80]}-{self.identity}"


@dataclass(frozen=True)
class Artifact:
    """A finished folder whose checksums have been checked. Read-only."""

    path: Path

    def json(self, name: str) -> Any:
        return json.loads((self.path / name).read_text(encoding="utf-8"))

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        from safetensors.numpy import load_file

        return load_file(self.path / name)

    def table(self, name: str):
        """The table of a Parquet file, as a pandas DataFrame."""
        import pandas as pd

        return pd.read_parquet(self.path / name)


@dataclass(frozen=True)
class Draft:
    """A folder being filled; it becomes the artifact when its `with` block ends well."""

    path: Path

    def write_json(self, name: str, content: Any) -> None:
        text = json.dumps(content, indent=1, sort_keys=True, allow_nan=False)
        (self.path / name).write_text(text + "\n", encoding="utf-8")

    def write_arrays(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        from safetensors.numpy import save_file

        save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, self.path / name)

    def write_table(self, name: str, table: Any) -> None:
        table.to_parquet(self.path / name, index=False)


class Store:
    """The artifacts below one folder."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    def path(self, recipe: Recipe) -> Path:
        return self.root / recipe.name

    def has(self, recipe: Recipe) -> bool:
        """Whether the artifact is there. What it holds is checked when it is opened."""
        return (self.path(recipe) / CHECKSUMS_FILE).is_file()

    def open(self, recipe: Recipe) -> Artifact:
        """The artifact, after comparing its recipe and every checksum.

        **Raises:** `StoreError` when it is not there, or is not what its name says; a damaged
        folder is set aside, so that the next run builds it again.
        """
        path = self.path(recipe)
        if not path.is_dir():
            raise StoreError(
                f"{recipe.name} is not in the store {self.root} yet. Run the study that makes "
                f"it first (`samemind run STUDY`), or name another store with --store."
            )
        fault = self.fault(path, recipe.content)
        if fault:
            aside = self._set_aside(path)
            where = f"It was set aside as {aside}" if aside else "It could not be set aside"
            error = DamagedArtifact(
                f"{recipe.name} is damaged: {fault}. {where}; run the study again to rebuild it."
            )
            error.is_set_aside = aside is not None
            raise error
        return Artifact(path)

    @staticmethod
    def fault(path: Path, content: Any = None) -> str | None:
        """What is wrong with a finished folder, or None. `content` is what its recipe must be."""
        try:
            held = json.loads((path / RECIPE_FILE).read_text(encoding="utf-8"))
            checksums: dict[str, str] = json.loads(
                (path / CHECKSUMS_FILE).read_text(encoding="utf-8")
            )
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
        for name, expected in checksums.items():
            file = path / name
            if not file.is_file():
                return f"{name} is missing"
            if checksum(file) != expected:
                return f"{name} does not have the checksum it was written with"
        return None

    @contextmanager
    def create(self, recipe: Recipe, **made: Any) -> Iterator[Draft]:
        """A draft folder that becomes the artifact when the block ends without an error.

        `made` is kept in made.json, outside the identity: device, seconds and the like. Where
        another process was first, its artifact stays and this draft is dropped.
        """
        final = self.path(recipe)
        draft = final.parent / f".draft-{final.name}-{owner()}"
        try:
            draft.mkdir(parents=True)
            started = time.time()
            yield Draft(draft)
            work = Draft(draft)
            work.write_json(RECIPE_FILE, recipe.content)
            work.write_json(MADE_FILE, provenance(started) | made)
            # made.json is left out: it tells when and where, which no result depends on.
            files = sorted(f for f in draft.iterdir() if f.name != MADE_FILE)
            work.write_json(CHECKSUMS_FILE, {f.name: checksum(f) for f in files})
            for file in draft.iterdir():
                flush_to_disk(file)
            flush_to_disk(draft)
            try:
                draft.rename(final)
            except OSError:
                if not self.has(recipe):
                    raise
            flush_to_disk(final.parent)
        except OSError as error:
            if isinstance(error, StoreError):
                raise
            raise StoreError(storage_trouble(self.root, error)) from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def scratch(self, recipe: Recipe) -> Path:
        """A folder for the resume state of a long build, named after its recipe."""
        path = self.scratch_path(recipe)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(storage_trouble(self.root, error)) from error
        return path

    def scratch_path(self, recipe: Recipe) -> Path:
        """Where the scratch folder of a recipe is, if there is one."""
        return self.root / "scratch" / recipe.name.replace("/", "-")

    def check_writable(self) -> None:
        """Raises `StoreError` with what to do when nothing can be written here."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            probe = self.root / f".probe-{owner()}"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise StoreError(storage_trouble(self.root, error)) from error

    def remove_abandoned_drafts(self) -> int:
        """Removes the drafts of processes of this host that are gone; returns how many."""
        removed = 0
        for draft in self.root.glob("*/.draft-*"):
            host, _, process = draft.name.rpartition("-")[0].rpartition("-")
            if host.endswith(f"-{socket.gethostname()}") and not is_alive(int(process)):
                shutil.rmtree(draft, ignore_errors=True)
                removed += 1
        return removed

    def _set_aside(self, path: Path) -> Path | None:
        aside = self.root / "damaged" / f"{path.parent.name}-{path.name}-{uuid.uuid4().hex[:8]}"
        try:
            aside.parent.mkdir(parents=True, exist_ok=True)
            return path.rename(aside)
        except OSError:
            return None


def checksum(file: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def owner() -> str:
    """Who writes a draft: host, process and a random part (process ids repeat across hosts)."""
    return f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"


def is_alive(process: int) -> bool:
    """Whether a process of this host is still there."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def flush_to_disk(path: Path) -> None:
    """Returns when the file or folder is on the disk, not merely in the system's memory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def storage_trouble(root: Path, error: OSError) -> str:
    """A sentence for an operating-system error met while writing below `root`."""
    advice = {
        errno.ENOSPC: "The disk is full: free some space and run again; what is finished is kept.",
        errno.EDQUOT: "The quota is used up: free some space and run again.",
        errno.EROFS: "The file system is read-only: name another store with --store.",
        errno.EACCES: "You may not write there: name another store with --store.",
        errno.EPERM: "You may not write there: name another store with --store.",
    }.get(error.errno or 0, "Name another store with --store, or mend this one.")
    return f"Cannot write to the store {root}: {error.strerror or error}. {advice}"


def provenance(started: float) -> dict[str, Any]:
    """When, where and with what something was made; never part of an identity."""
    from samemind import __version__, environment

    return {
        "samemind": __version__,
        "seconds": round(time.time() - started, 3),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    } | environment.described()
