"""The one way in which small files of a store, a folder or a user are read: none is believed.

A file may be a FIFO that nobody writes into, a device without an end, a link to one, a folder,
gigabytes long, or brackets a million deep. Here only regular files are read, opened without
waiting, up to a size that the caller names, and whatever fails is one error with the file's name.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any

from samemind.errors import UnreadableFile

MOST_TEXT = 2**26
"""Bytes of a text or JSON file that are read unless its reader says otherwise."""
DEEPEST = 64
"""Brackets within brackets in JSON; recipes have fewer than ten."""
_BYTE = re.compile("[\udc80-\udcff]")  # how Python writes a byte of a name that is not UTF-8
MOST_TIMES = 64
"""So often one folder is met in a walk that links lead through: more is a knot of links."""


def open_regular(path: str | os.PathLike[str]) -> BufferedReader:
    """A regular file, or a link to one, opened for reading without waiting for anybody.

    **Raises:** `UnreadableFile` for what is not there, may not be read, or is of another kind: a
    folder, a FIFO, a socket, a device.
    """
    return os.fdopen(_opened(path)[0], "rb")


def check_regular(path: str | os.PathLike[str]) -> None:
    """Raises `UnreadableFile` for what a library that opens files itself should not be given."""
    open_regular(path).close()


def checksum(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a regular file, in hexadecimal.

    **Raises:** `UnreadableFile` where it is missing, of another kind, or the disk fails.
    """
    with open_regular(path) as stream:
        try:
            return hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise _unreadable(path, error) from error


def read_bytes(path: str | os.PathLike[str], *, most: int = MOST_TEXT) -> bytes:
    """The content of a regular file of at most so many bytes.

    **Raises:** `UnreadableFile`, also where it is larger, of which no more than that is read.
    """
    descriptor, size = _opened(path)
    try:
        content = b""
        # One more, because a file may grow while it is read, and those of /proc have no size.
        while size <= most and len(content) <= most:
            part = os.read(descriptor, min(max(size, 2**14), most) + 1 - len(content))
            content += part
            if not part or len(content) == size:
                break
    except OSError as error:
        raise _unreadable(path, error) from error
    finally:
        os.close(descriptor)
    if size > most or len(content) > most:
        raise UnreadableFile(
            shown(path), f"it has {max(size, len(content)):,} bytes, and {most:,} are the most"
        )
    return content


def _opened(path: str | os.PathLike[str]) -> tuple[int, int]:
    """The descriptor of a regular file, and its size in bytes."""
    try:
        # Without O_NONBLOCK a FIFO would be waited for; O_NOCTTY: a terminal must not become ours.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode):
        return descriptor, found.st_size
    os.close(descriptor)
    raise UnreadableFile(shown(path), f"it is {kind_of(found.st_mode)}, not a file")


def read_text(path: str | os.PathLike[str], *, most: int = MOST_TEXT) -> str:
    """The text of a regular file in UTF-8, line ends as they are; see `read_bytes`."""
    content = read_bytes(path, most=most)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnreadableFile(
            shown(path), f"byte {error.start} is not UTF-8 ({error.reason})"
        ) from error


def read_json(path: str | os.PathLike[str], *, most: int = MOST_TEXT) -> Any:
    """What a JSON file holds; see `read_text` and `parsed_json`."""
    return parsed_json(read_text(path, most=most), path)


def parsed_json(text: str, path: str | os.PathLike[str]) -> Any:
    """What a text in JSON says: finite numbers, and nothing nested deeper than `DEEPEST`.

    **Raises:** `UnreadableFile` with the name of the file that the text is from.
    """
    try:
        content = _DECODER.decode(text)
        # Most files have fewer brackets than may lie in one another: then there is no need to look.
        if text.count("[") + text.count("{") > DEEPEST and depth_of(content) > DEEPEST:
            raise ValueError(f"brackets lie in one another more than {DEEPEST} deep")
        return content
    except RecursionError:
        reason = f"brackets lie in one another more than {DEEPEST} deep"
        raise UnreadableFile(shown(path), f"it is not valid JSON: {reason}") from None
    except ValueError as error:
        raise UnreadableFile(shown(path), f"it is not valid JSON: {error}") from None


def depth_of(content: Any) -> int:
    """How deep lists and dictionaries lie in one another, counted up to `DEEPEST` + 1."""
    level, depth = [content], 0
    while level and depth <= DEEPEST:
        held = [
            v.values() if isinstance(v, dict) else v for v in level if isinstance(v, (dict, list))
        ]
        depth += bool(held)
        level = [inner for values in held for inner in values]
    return depth


def _refused(constant: str) -> Any:
    raise ValueError(f"{constant} is no number")


def _finite(digits: str) -> float:
    found = float(digits)
    if found - found != 0:
        raise ValueError(f"the number {digits[:20]} is too large")
    return found


_DECODER = json.JSONDecoder(parse_constant=_refused, parse_float=_finite)


# -- paths


def is_file(path: str | os.PathLike[str]) -> bool:
    """Whether a path leads to a regular file; False also for names that no file can have."""
    return _mode(path, stat.S_ISREG)


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Whether a path leads to a folder; False also for names that no folder can have."""
    return _mode(path, stat.S_ISDIR)


def _mode(path: str | os.PathLike[str], is_kind: Any) -> bool:
    try:
        return is_kind(Path(path).stat().st_mode)
    except (OSError, ValueError):
        return False


def expanded(path: str | os.PathLike[str]) -> Path:
    """A path with `~` and `~name` replaced by that user's folder.

    **Raises:** `UnreadableFile` where this machine knows no such user.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        user = Path(path).parts[0]
        raise UnreadableFile(
            shown(path), f"this machine knows no user '{user[1:]}' (write ./{user} for a folder)"
        ) from None


def shown(path: str | os.PathLike[str]) -> str:
    """A path as text that can be written anywhere: a byte that is no UTF-8 becomes `\\xe9`."""
    text = _BYTE.sub(lambda found: f"\\x{ord(found[0]) - 0xDC00:02x}", os.fsdecode(path))
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def files_below(folder: str | os.PathLike[str], *, follows_links: bool = True) -> Iterator[Path]:
    """The paths of everything that is no folder, below a folder and through links, in no order.

    - `follows_links`: False leaves out what lies in folders that are links.

    A link back to a folder that the walk is in is not followed. FIFOs and devices are among the
    paths: whoever opens them is told.

    **Raises:** `UnreadableFile` where links lead to one folder in very many ways, or a folder
    cannot be listed.
    """
    met: dict[tuple[int, int], int] = {}
    waiting: list[tuple[str, frozenset[tuple[int, int]]]] = [(os.fspath(folder), frozenset())]
    while waiting:
        place, above = waiting.pop()
        try:
            found = Path(place).stat()
            this = (found.st_dev, found.st_ino)
            if this in above:
                continue
            met[this] = met.get(this, 0) + 1
            if met[this] > MOST_TIMES:
                raise UnreadableFile(
                    shown(place), f"links lead to this folder in more than {MOST_TIMES} ways"
                )
            with os.scandir(place) as entries:
                for entry in entries:
                    if _leads_to_folder(entry):
                        if follows_links or not entry.is_symlink():
                            waiting.append((entry.path, above | {this}))
                    else:
                        yield Path(entry.path)
        except OSError as error:
            raise _unreadable(place, error) from error


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link in a circle, or too long: it leads nowhere


def kind_of(mode: int) -> str:
    """In words, what a mode of the system's is of."""
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a FIFO",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
        stat.S_IFLNK: "a link",
        stat.S_IFREG: "a file",
    }
    return kinds.get(stat.S_IFMT(mode), "something else")


def access(path: str | os.PathLike[str]) -> str:
    """Who owns a path and what they let others do, such as `bob's, mode -rw-------`.

    Of what cannot even be looked at, the same of the folder that it lies in.
    """
    place = Path(path).absolute()
    for above in (place, *place.parents):
        try:
            found = above.lstat()
        except (OSError, ValueError):
            continue
        whose = f"{user_name(found.st_uid)}'s, mode {stat.filemode(found.st_mode)}"
        return whose if above == place else f"below {shown(above)}, which is {whose}"
    return "nobody's"


def user_name(number: int) -> str:
    """The name of a user of this machine, or the number where it has none."""
    import pwd

    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"


def _unreadable(path: str | os.PathLike[str], error: OSError | ValueError) -> UnreadableFile:
    if isinstance(error, FileNotFoundError):
        found = UnreadableFile(shown(path), os.strerror(errno.ENOENT))
        found.is_missing = True
        return found
    if isinstance(error, PermissionError):
        return UnreadableFile(shown(path), f"you may not read it: it is {access(path)}")
    if isinstance(error, OSError) and error.strerror:
        return UnreadableFile(shown(path), error.strerror)
    return UnreadableFile(shown(path), str(error))


def split_name(reference: str) -> tuple[str, str]:
    """The name that NAME=REFERENCE gives, or none, and the reference.

    A file or a folder whose own name has an = in it is that file, whatever is around it:
    `epoch=3-step=300.ckpt`, `epoch=3.ckpt::ema`, `hf:runs/lr=0.1`.
    """
    file = reference.partition("::")[0]
    source, _, rest = file.partition(":")
    for path in (file, "" if "=" in source else rest):
        if path and (is_file(path) or is_folder(path)):
            return "", reference
    name, found, rest = reference.partition("=")
    return (name, rest) if found else ("", reference)
