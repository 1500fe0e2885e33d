"""What the files of a folder hold, in one short text that stays while no name or byte changes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from samemind.errors import DataError, UnreadableFile
from samemind.files.reading import checksum, expanded, read_json, shown

MANY = 20_000  # files that take long enough to read for a word about it

_KNOWN: dict[Path, dict[str, list[Any]]] = {}
"""By folder and name: the state of each file and the hash of what it held in that state."""


def fingerprint(folder: Path, paths: Sequence[Path]) -> str:
    """A hash of the names, relative to a folder, and of the contents of some files.

    What a file held is remembered in the user's cache, by its size, times and inode, so that only
    files that changed are read again.

    **Raises:** `DataError` that names a file which cannot be read.

    **Cost:** reads every file the first time; later asks for the state of each.
    """
    folder = folder.absolute()
    known = _KNOWN.setdefault(folder, _remembered(folder))
    states = {str(p.absolute().relative_to(folder)): _state(p) for p in paths}
    new = [name for name, state in states.items() if known.get(name, [None])[0] != state]
    if len(new) > MANY:
        sys.stderr.write(f"Reading {len(new):,} files in {folder} once, to know what they hold.\n")
    if new:
        with ThreadPoolExecutor(min(8, len(os.sched_getaffinity(0)))) as pool:
            hashes = pool.map(lambda name: _hash(folder / name), new)
            known |= {name: [states[name], h] for name, h in zip(new, hashes, strict=True)}
        _remember(folder, known)
    whole = hashlib.sha256()
    for name in sorted(states):
        whole.update(os.fsencode(f"{name}\0{known[name][1]}\n"))
    return whole.hexdigest()[:16]


def _state(path: Path) -> list[int]:
    # The time of the last change of state too: it cannot be set back like that of the content.
    try:
        found = path.stat()
    except OSError as error:
        raise _unreadable(path, error.strerror) from error
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def _hash(path: Path) -> str:
    try:
        return checksum(path)
    except UnreadableFile as error:
        raise _unreadable(path, error.reason) from error


def _unreadable(path: Path, reason: str | None) -> DataError:
    return DataError(
        f"The image {shown(path)} cannot be read ({reason}). Give yourself the right to read it, "
        f"or take it out of the folder."
    )


def _place(folder: Path) -> Path:
    cache = expanded(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return cache / "samemind" / "fingerprints" / f"{name}.json"


def _remembered(folder: Path) -> dict[str, list[Any]]:
    try:
        found = read_json(_place(folder), most=2**30)
        return {str(name): [list(state), str(h)] for name, (state, h) in found.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def _remember(folder: Path, known: dict[str, list[Any]]) -> None:
    place = _place(folder)
    # A cache that cannot be written only costs time.
    with contextlib.suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", dir=place.parent, delete=False, encoding="utf-8"
        ) as file:
            json.dump(known, file)
        Path(file.name).replace(place)
