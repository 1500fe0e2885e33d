"""Files that unpack to far more than they hold are refused before they fill the memory."""

from __future__ import annotations

import zipfile
from pathlib import Path

from samemind.errors import InvalidInput

ALWAYS_FINE = 2**30  # bytes
LARGEST_RATIO = 100


def check_size(unpacked: int, path: Path) -> None:
    """Raises `InvalidInput` where so many bytes are out of proportion to the file they come from.

    Trained weights and activations hardly shrink; a hundredfold is a mistake or an attack.
    """
    packed = path.stat().st_size
    if unpacked > max(ALWAYS_FINE, LARGEST_RATIO * packed):
        raise InvalidInput(
            f"{path} has {packed:,} bytes but would unpack to {unpacked:,}. If that is meant, save "
            f"it without compression."
        )


def check_unpacked_size(path: Path) -> None:
    """The same for all that a zip file holds; files of another kind are left to their readers."""
    try:
        with zipfile.ZipFile(path) as held:
            unpacked = sum(item.file_size for item in held.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return
    check_size(unpacked, path)
