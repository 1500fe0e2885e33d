"""Archives that reach outside of themselves or unpack to far more than they hold are refused.

Nothing is ever unpacked to the disk: archives are read in memory, by the names of their members.
"""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

from samemind.errors import InvalidInput
from samemind.files.reading import check_regular

ALWAYS_FINE = 2**30  # bytes
LARGEST_RATIO = 100
WIDEST = 8  # bytes of a number that is computed with
MOST_DEFLATED = 1032  # times: no stream of zlib unpacks to more than that
ZIP_MARK = b"PK\x03\x04"


def check_size(unpacked: int, path: Path) -> None:
    """Raises `InvalidInput` where so many bytes are out of proportion to the file they come from.

    Trained weights and activations hardly shrink; a hundredfold is a mistake or an attack.
    """
    packed = path.stat().st_size
    most = max(ALWAYS_FINE, LARGEST_RATIO * packed)
    if unpacked > most:
        raise InvalidInput(
            f"{path} has {packed:,} bytes but would unpack to {unpacked:,}, and {most:,} are the "
            f"most. If that is meant, save "
            f"it without compression."
        )


def check_held(elements: int, path: Path) -> None:
    """As `check_size`, for so many numbers as they will be held: widened to eight bytes each."""
    check_size(WIDEST * elements, path)


def check_zip(path: Path) -> None:
    """Checks the members of a zip file; files of another kind are left to their readers.

    **Raises:** `InvalidInput` where they would unpack to far more than the file holds, where one
    is a link or a device, has a name outside of the archive, or the file is a damaged zip file.
    """
    check_regular(path)
    try:
        with zipfile.ZipFile(path) as held:
            members = held.infolist()
    except Exception as error:  # zipfile raises anything over what is not a zip file
        with path.open("rb") as stream:
            if stream.read(len(ZIP_MARK)) != ZIP_MARK:
                return
        # Readers that are more lenient would unpack what was not checked here.
        raise InvalidInput(f"{path} is a damaged zip file ({error}). Fetch it again.") from error
    for member in members:
        _check_member(member, path)
    check_size(sum(member.file_size for member in members), path)


def _check_member(member: zipfile.ZipInfo, path: Path) -> None:
    kind = stat.S_IFMT(member.external_attr >> 16)
    parts = member.filename.replace("\\", "/").split("/")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        what = "is a link or a device, not a file"
    elif not parts[0] or parts[0].endswith(":") or ".." in parts:
        what = "lies outside of the archive"
    else:
        return
    raise InvalidInput(
        f"{path} has a member '{member.filename}' that {what}. No program that saves arrays or "
        f"weights writes such a thing: do not use the file, and ask where it comes from."
    )


def inflated_size(parts: Iterable[bytes], most: int) -> int:
    """How many bytes a zlib stream unpacks to, counted until there are more than `most`.

    What is damaged counts as far as it goes. Needs a few megabytes, whatever is in the stream.
    """
    unpack = zlib.decompressobj()
    count = 0
    for part in parts:
        while part and count <= most and not unpack.eof:
            try:
                count += len(unpack.decompress(part, 1 << 20))
            except zlib.error:
                return count
            part = unpack.unconsumed_tail
        if count > most or unpack.eof:
            break
    return count
