"""Where data sets lie on this machine, and downloading them there once."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from samemind.errors import DataError
from samemind.files.reading import expanded


def data_folder(root: Path | None = None) -> Path:
    """The folder that holds all data sets: `root`, else SAMEMIND_DATA, else the user's cache."""
    if root is not None:
        return Path(root)
    named = os.environ.get("SAMEMIND_DATA")
    if named:
        return expanded(named)
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return expanded(cache) / "samemind" / "data"


def download_once(
    name: str, folder: Path, is_there: Callable[[], bool], fetch: Callable[[Path], Any]
) -> None:
    """Calls `fetch(folder)` unless the data is there; one process of this machine at a time.

    **Raises:** `DataError` that says how to get the data by hand where fetching fails.
    """
    if is_there():
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / f".{name}.lock"):
            if is_there():
                return
            sys.stderr.write(f"{name} is not in {folder}; downloading it from its authors.\n")
            fetch(folder)
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"{name} is not in {folder} and could not be downloaded ({error}). Put it there by "
            f"hand, or name the folder that holds it in SAMEMIND_DATA."
        ) from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
