"""What is a store, and what in it is samemind's: nothing else is counted, moved or removed.

A store has a mark at its root. What lies in it counts by its own content: an artifact by the files
that describe it, a draft, resume state or lease by a name that only samemind gives. A folder
without a mark is a store of before there were marks where it holds artifacts; it gets its mark once
all that is in it is recognised.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from samemind.errors import StoreError, UnreadableFile
from samemind.files.reading import (
    access,
    is_file,
    is_folder,
    kind_of,
    parsed_json,
    read_json,
    read_text,
    shown,
)
from samemind.store.disk import flush_to_disk, made_text, storage_error
from samemind.store.leases import owner, split_owner
from samemind.store.recipes import identity_of, readable_json

MARK_FILE = "samemind-store.json"
FORMAT = 1
"""Raised when a store of today could no longer be read by samemind as it was."""

RECIPE_FILE = "recipe.json"
CHECKSUMS_FILE = "checksums.json"
MADE_FILE = "made.json"
DESCRIPTION = (RECIPE_FILE, CHECKSUMS_FILE, MADE_FILE)
DRAFT = ".draft-"
REMOVED = ".removed-"
PROBE = ".probe-"
SCRATCH_FOLDER = "scratch"
DAMAGED_FOLDER = "damaged"
LEASES_FOLDER = "leases"
JOBS_FOLDER = "jobs"  # what an engine writes down about the jobs it was given
NO_KINDS = (SCRATCH_FOLDER, DAMAGED_FOLDER, LEASES_FOLDER, JOBS_FOLDER)
NEUTRAL = ("lost+found",)  # of a file system's own root; hidden names are left alone too

_IDENTITY = r"-[0-9a-f]{16}"
_NAMES = {
    SCRATCH_FOLDER: re.compile(rf".+{_IDENTITY}", re.DOTALL),
    DAMAGED_FOLDER: re.compile(rf".+-[0-9a-f]{{8}}-.+{_IDENTITY}", re.DOTALL),
    LEASES_FOLDER: re.compile(rf".+{_IDENTITY}|\..+-[0-9a-f]{{32}}", re.DOTALL),
    # Submitit makes a folder of its pattern as it stands, beside those of the jobs.
    JOBS_FOLDER: re.compile(r"\d+(_\d+)?|%[jA](_%a)?|submitted\.json(\.draft)?"),
}
_ARTIFACT = re.compile(rf".+{_IDENTITY}", re.DOTALL)
_GONE = re.compile(rf"{re.escape(REMOVED)}[0-9a-f]{{8}}-.+{_IDENTITY}", re.DOTALL)


# -- artifacts


def has_name_of_artifact(name: str) -> bool:
    """Whether a folder's name is a label and an identity, as those of artifacts are."""
    return name[:1] != "." and _ARTIFACT.fullmatch(name) is not None


def is_artifact(path: Path) -> bool:
    """Whether the content of a folder says that samemind wrote it, be it damaged or whole.

    One of the three files that describe an artifact is enough: a recipe that hashes to the
    folder's name, checksums, or a made.json that vouches for itself.
    """
    return is_whole_recipe(recipe_of(path), path) or _has_checksums(path) or _has_made(path)


def recipe_of(path: Path) -> Any:
    """What the recipe.json of a folder holds; None where it cannot be read."""
    try:
        return read_json(path / RECIPE_FILE)
    except UnreadableFile:
        return None


def is_whole_recipe(content: Any, path: Path) -> bool:
    """Whether something is a recipe, and the one that a folder's name stands for."""
    is_recipe = isinstance(content, dict) and {"kind", "type", "version"} <= content.keys()
    return is_recipe and path.name.endswith(f"-{identity_of(content)}")


def _has_checksums(path: Path) -> bool:
    try:
        text = read_text(path / CHECKSUMS_FILE)
        held = parsed_json(text, path)
    except UnreadableFile:
        return False
    return isinstance(held, dict) and RECIPE_FILE in held and text == readable_json(held)


def _has_made(path: Path) -> bool:
    try:
        text = read_text(path / MADE_FILE)
        held = parsed_json(text, path)
    except UnreadableFile:
        return False
    return isinstance(held, dict) and "samemind" in held and text == made_text(held)


def folders_of_artifacts(root: Path) -> Iterator[Path]:
    """The folders below a store's kinds that have the name of an artifact, in no order."""
    for kind in _folders(root):
        if kind.name not in NO_KINDS:
            yield from (p for p in _folders(kind) if has_name_of_artifact(p.name))


def _folders(path: Path) -> Iterator[Path]:
    yield from (p for p in listed(path) if p.name[:1] != "." and is_folder(p))


def listed(path: Path) -> list[Path]:
    """What lies in a folder; nothing where it is none, or is gone by now.

    **Raises:** `StoreError` that says whose it is where it may not be listed.
    """
    try:
        with os.scandir(path) as entries:
            return [path / entry.name for entry in entries]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise cannot_be_read(path, error) from error


def cannot_be_read(path: Path, error: OSError) -> StoreError:
    """The error for a part of a store that this user may not look into: whose, and what to do."""
    if isinstance(error, PermissionError):
        return StoreError(
            f"{shown(path)} may not be read by you: it is {access(path)}. Ask its owner for the "
            f"right (`chmod -R g+rwX`, and `umask 002` for what is to come), or use a store of "
            f"your own with --store."
        )
    return StoreError(f"{shown(path)} cannot be read: {error.strerror}. Look after the disk.")


def not_readable(path: Path) -> StoreError | None:
    """The error for an artifact of which this user may not read some part, or None."""
    error = PermissionError()
    if is_folder(path) and not os.access(path, os.R_OK | os.X_OK):
        return cannot_be_read(path, error)
    hidden = [p for p in listed(path) if is_file(p) and not os.access(p, os.R_OK)]
    return cannot_be_read(hidden[0], error) if hidden else None


# -- what broken runs leave


def drafts(root: Path) -> Iterator[Path]:
    """The hidden folders in which artifacts were begun."""
    for kind in _folders(root):
        for path in listed(kind):
            if path.name.startswith(DRAFT) and split_owner(path.name)[1] is not None:
                yield path


def half_removed(root: Path) -> Iterator[Path]:
    """What was being removed when its remover ended."""
    for kind in _folders(root):
        yield from (path for path in listed(kind) if _GONE.fullmatch(path.name))


def of_ours(root: Path, folder: str) -> Iterator[Path]:
    """What samemind put into one of `NO_KINDS`, told by its name."""
    named = _NAMES[folder]
    yield from (path for path in listed(root / folder) if named.fullmatch(path.name))


# -- the mark


def is_marked(root: Path) -> bool:
    """Whether a folder has the mark of a store that this samemind reads.

    **Raises:** `StoreError` where the mark is damaged, or of a later samemind.
    """
    mark = root / MARK_FILE
    try:
        held = read_json(mark, most=2**16)
        number = held["format"]
        if not isinstance(number, int):
            raise TypeError(number)
    except UnreadableFile as error:
        if error.is_missing or not is_folder(root):
            return False
        raise _bad_mark(mark, error.reason) from error
    except (TypeError, KeyError) as error:
        raise _bad_mark(mark, "it names no format") from error
    if number != FORMAT:
        raise StoreError(
            f"The store {shown(root)} has the format {number}, and this samemind reads format "
            f"{FORMAT}. Use the samemind that made it, or a later one, or name another store with "
            f"--store."
        )
    return True


def _bad_mark(mark: Path, reason: str) -> StoreError:
    return StoreError(
        f"The mark of a store, {shown(mark)}, cannot be read: {reason}. If this is a store, "
        f"remove the mark: the next run writes it anew once it recognises all that is there."
    )


def check_is_store(root: Path) -> None:
    """Raises `StoreError` for a folder that has no mark and holds no artifact."""
    if not is_folder(root):
        raise StoreError(
            f"There is no store at {shown(root)}. Name the folder with --store, or run a study "
            f"first: `samemind run STUDY`."
        )
    if is_marked(root) or any(map(is_artifact, folders_of_artifacts(root))):
        return
    within = [path for path in _folders(root) if is_file(path / MARK_FILE)]
    hint = f"The store is {shown(within[0])}. " if within else ""
    raise StoreError(
        f"There is no store at {shown(root)}: the folder has no mark ({MARK_FILE}) and holds no "
        f"artifact. {hint}Name the store's own folder with --store."
    )


def claim(root: Path) -> None:
    """Puts the mark of a store into a new or empty folder, or a store of before there were marks.

    **Raises:** `StoreError` where the folder holds what is not samemind's, or cannot be written.
    """
    if is_marked(root):
        return
    try:
        root.mkdir(parents=True, exist_ok=True)
        other = stranger(root)
        # Asked again: somebody else may have made the store meanwhile.
        if other is not None and not is_marked(root):
            raise StoreError(
                f"{shown(root)} is no store: it holds {shown(other.relative_to(root))}, "
                f"{_what_is(other)} that samemind did not write. Name a new folder with --store; "
                f"if this is a store of an earlier samemind, move that elsewhere first."
            )
        draft = root / f"{PROBE}{owner()}"
        draft.write_text(
            readable_json({"format": FORMAT, "what": "a store of samemind: artifacts by kind"}),
            encoding="utf-8",
        )
        flush_to_disk(draft)
        draft.replace(root / MARK_FILE)
        flush_to_disk(root)
    except OSError as error:
        raise storage_error(root, error) from error


def _what_is(path: Path) -> str:
    try:
        return kind_of(path.lstat().st_mode)
    except OSError:
        return "something"


def stranger(root: Path) -> Path | None:
    """Something in a folder without a mark that samemind did not put there, or None."""
    for path in sorted(listed(root)):
        if path.name[:1] == "." or path.name in NEUTRAL or path.name == MARK_FILE:
            continue
        if not is_folder(path):
            return path
        if path.name in NO_KINDS:
            ours = set(of_ours(root, path.name))
            others = [p for p in listed(path) if p not in ours and p.name[:1] != "."]
        else:
            others = [p for p in listed(path) if p.name[:1] != "." and not _is_whole(p)]
        if others:
            return min(others)
    return None


def _is_whole(path: Path) -> bool:
    return has_name_of_artifact(path.name) and is_folder(path) and is_artifact(path)
