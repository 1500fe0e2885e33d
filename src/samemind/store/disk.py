"""What is asked of a disk, and what its errors mean for the reader of a terminal."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

from samemind.errors import StoreError
from samemind.files.reading import access, checksum, shown

__all__ = ["checksum", "flush_to_disk", "made_text", "provenance", "storage_error", "system_number"]


def flush_to_disk(path: Path) -> None:
    """Returns when the file or folder is on the disk, not merely in the system's memory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def storage_error(root: Path, error: OSError) -> StoreError:
    """The error to raise for one of the operating system, met while writing below `root`."""
    if isinstance(error, StoreError):
        return error
    advice = {
        errno.ENOSPC: "The disk is full: free some space and run again; what is finished is kept.",
        errno.EDQUOT: "The quota is used up: free some space and run again; what is finished is "
        "kept.",
        errno.EROFS: "The file system is read-only: name another store with --store.",
        errno.EACCES: "Ask its owner for the right (docs/artifacts.md says how several users share "
        "a store), or name another store with --store.",
    }
    advice[errno.EPERM] = advice[errno.EACCES]
    number = system_number(error)
    reason = os.strerror(number) if number else error
    if number in (errno.EACCES, errno.EPERM):
        place = error.filename or root
        reason = f"{reason}, {shown(place)} is {access(place)}"
    found = StoreError(
        f"Cannot write to the store {root}: {reason}. "
        f"{advice.get(number, 'Name another store with --store, or mend this one.')}"
    )
    found.cannot_write = number in advice
    return found


def system_number(error: OSError) -> int:
    """The number of an error of the operating system, 0 where there is none.

    Libraries that write files themselves give it in the text of their error only.
    """
    found = re.search(r"(?:os error|errno) (\d+)", str(error), re.IGNORECASE)
    return error.errno or (int(found[1]) if found else 0)


def provenance(seconds: float) -> dict[str, Any]:
    """When, where and with what something was made; never part of an identity."""
    from samemind.store.environment import described

    return {
        "samemind": sys.modules["samemind"].__version__,
        "seconds": round(seconds, 3),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    } | described()


def made_text(made: dict[str, Any]) -> str:
    """The text of made.json, with a checksum of itself."""
    plain = {name: value for name, value in made.items() if name != "checksum"}
    digest = hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
    return json.dumps(plain | {"checksum": digest}, indent=1, sort_keys=True) + "\n"
