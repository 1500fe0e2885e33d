"""Leases: who is building what, in the processes of one machine or of many that share a folder.

A lease spares work, and no result depends on it: two builders that both believe they hold one make
the same artifact, and the first to finish wins. So a lease may be simple: a file that one process
can create, with a counter that its holder raises. Whoever waits watches the counter with a clock
of its own that only counts seconds, so that neither a clock that jumps nor clocks that differ
between hosts can end a lease or keep one alive.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
import time
import uuid
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from samemind.errors import StoreError, UnreadableFile
from samemind.files.reading import access, parsed_json, read_bytes, shown

COUNTER_DIGITS = 12
LONGEST = 2**14  # bytes of a lease
HIDDEN = "\0"
"""What the state of a lease begins with that cannot be read; the rest is what can be seen of it."""


@dataclass(frozen=True)
class Process:
    """A process and where it runs, such that it can be told from any other."""

    host: str
    place: str  # host, boot and process namespace: where the process id means something
    process: int
    born: str  # when it started, in the words of the system: process ids are used again

    @classmethod
    def this(cls) -> Process:
        process = os.getpid()
        return cls(socket.gethostname(), place(), process, born(process))

    @property
    def is_gone(self) -> bool:
        """Whether it has certainly ended; False also where that cannot be known from here."""
        if self.place != place():
            return False
        return not is_alive(self.process) or (self.born != born(self.process))


@cache
def place() -> str:
    """Eight digits for host, boot and process namespace: two containers are two places."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8"))
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return uuid.uuid5(uuid.NAMESPACE_OID, "/".join(parts)).hex[:8]


def born(process: int) -> str:
    """When a process of this place started, as the kernel counts; empty where it does not say."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
    return stat.rpartition(")")[2].split()[19]


def is_alive(process: int) -> bool:
    """Whether a process of this place is still there."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    with contextlib.suppress(OSError, UnicodeDecodeError):
        # A killed process whose parent has not noticed yet does nothing any more.
        stat = Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
        return stat.rpartition(")")[2].split()[0] not in ("Z", "X")
    return True


@dataclass
class Lease:
    """The right to build one artifact, kept alive by a thread until it is given back."""

    path: Path
    token: str
    beat: float
    _ended: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Lease:
        threading.Thread(target=self._keep_alive, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        with contextlib.suppress(OSError, UnreadableFile):
            if self.token in _text(self.path):
                self.path.unlink()

    def _keep_alive(self) -> None:
        count = 0
        while not self._ended.wait(self.beat):
            count += 1
            try:
                # Never created anew: a lease that was taken over stays with its new holder.
                file = os.open(self.path, os.O_RDWR | os.O_NONBLOCK)
            except OSError:
                continue
            try:
                if self.token.encode() in os.read(file, 4096):
                    os.pwrite(file, f"{count:0{COUNTER_DIGITS}}".encode(), 0)
                    os.fsync(file)
            except OSError:
                continue  # a full disk or a server that is away must not end the build
            finally:
                os.close(file)


class Leases:
    """The leases of a store, one file each.

    **Arguments:**

    - `beat`: seconds between two signs of life.
    - `patience`: seconds without one after which a lease of another host is taken over. That of a
      process of this machine which has ended is taken over at once.

    Of a lease that cannot be read (another user's, or a folder or FIFO in its place) the times that
    the system keeps tell whether its holder is alive; whose it is is said once, on stderr.
    """

    def __init__(self, folder: Path, *, beat: float = 5.0, patience: float = 60.0) -> None:
        self.folder = folder
        self.beat = beat
        self.patience = patience
        self._seen: dict[str, tuple[str, float]] = {}
        self._told: set[str] = set()

    def take(self, name: str) -> Lease | None:
        """The lease of an artifact, or None where somebody else is building it.

        **Raises:** `OSError` when nothing can be written.
        """
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        token = uuid.uuid4().hex
        holder = asdict(Process.this()) | {"name": name, "token": token, "since": time.time()}
        for _ in range(3):
            try:
                file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
            except FileExistsError:
                content = self._read(path)
                if content is None:
                    continue  # given back in this moment
                who = _holder(content)
                if who is None or not who.is_gone:
                    return None
                self._break(path, content)
                continue
            try:
                os.write(file, f"{0:0{COUNTER_DIGITS}}\n{json.dumps(holder)}\n".encode())
            except OSError:
                path.unlink(missing_ok=True)
                raise
            finally:
                os.close(file)
            return Lease(path, token, self.beat)
        return None

    def is_free(self, name: str) -> bool:
        """Whether nobody is building it. Ask again and again: a silent lease is ended by this.

        A lease is silent when its counter stood still, as seen from here, for `patience` seconds.

        **Raises:** `StoreError` where a silent one cannot be removed, with its owner and mode.
        """
        path = self._path(name)
        content = self._read(path)
        if content is None:
            self._seen.pop(name, None)
            return True
        now = time.monotonic()
        # None: also an empty lease, whose writer died before it wrote, is seen for the first time.
        before, since = self._seen.get(name, (None, now))
        if content != before:
            self._seen[name] = (content, now)
            since = now
        who = _holder(content)
        if content.startswith(HIDDEN) and name not in self._told:
            self._told.add(name)
            _tell(
                f"Waiting for {name}: its lease {shown(path)} cannot be read (it is "
                f"{access(path)}). It is taken over after {self.patience:g} seconds without a sign "
                f"of life."
            )
        if (who is not None and who.is_gone) or now - since >= self.patience:
            if not self._break(path, content):
                raise StoreError(
                    f"The lease {shown(path)} is {access(path)}, gave no sign of life for "
                    f"{self.patience:g} seconds and cannot be removed by you. Ask its owner "
                    f"whether the build is alive and to remove the lease if not; docs/artifacts.md "
                    f"says how several users share a store."
                )
            self._seen.pop(name, None)
            return True
        return False

    def in_work(self) -> dict[str, dict[str, Any]]:
        """What is being built, by whom and since when, by the artifact's name.

        Leases of processes that have certainly ended are left out.
        """
        found = {}
        for path in self._all():
            content = self._read(path)
            record = _record(content) if content else None
            who = _holder(content) if content else None
            if record is not None and who is not None and not who.is_gone:
                found[record["name"]] = record
        return found

    def unread(self) -> list[Path]:
        """The leases that cannot be read from here, so that nobody knows whose they are."""
        return [p for p in self._all() if (self._read(p) or "").startswith(HIDDEN)]

    def sweep(self) -> None:
        """Removes the leases of processes of this machine that have ended."""
        for path in self._all():
            content = self._read(path)
            who = _holder(content) if content else None
            if content is not None and who is not None and who.is_gone:
                self._break(path, content)

    def _path(self, name: str) -> Path:
        return self.folder / name.replace("/", "-")

    def _all(self) -> list[Path]:
        try:
            names = sorted(path.name for path in self.folder.iterdir())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreError(
                f"{shown(self.folder)} cannot be read ({error.strerror}): it is "
                f"{access(self.folder)}. docs/artifacts.md says how several users share a store."
            ) from error
        return [self.folder / name for name in names if name[:1] != "."]

    @staticmethod
    def _read(path: Path) -> str | None:
        """What a lease says, or what can be seen of one that cannot be read; None for none."""
        try:
            return _text(path)
        except UnreadableFile as error:
            if error.is_missing:
                return None
        try:
            seen = path.lstat()
        except FileNotFoundError:
            return None
        except OSError as error:
            # The whole folder is kept from us: not even that it changes can be seen.
            return f"{HIDDEN}{error.errno}"
        # Each beat of a living holder changes the times of the file.
        return f"{HIDDEN}{seen.st_ino} {seen.st_mode} {seen.st_mtime_ns} {seen.st_ctime_ns}"

    def _break(self, path: Path, content: str) -> bool:
        """Removes a lease that holds exactly `content`; False where that may not be done here.

        Any other is put back, and counts as removed: it is somebody's new lease.
        """
        if content.startswith(HIDDEN):
            return self._break_unread(path, content)
        grabbed = path.with_name(f".{path.name[-60:]}-{uuid.uuid4().hex}")
        try:
            path.rename(grabbed)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        with contextlib.suppress(OSError):
            if self._read(grabbed) != content:
                # Somebody was quicker and this is their new lease.
                with contextlib.suppress(OSError):
                    os.link(grabbed, path)
            grabbed.unlink()
        return True

    def _break_unread(self, path: Path, content: str) -> bool:
        if self._read(path) != content:
            return True
        try:
            # A folder that holds something is not ours to remove.
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True


def _tell(sentence: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(f"{sentence}\n")


def _text(path: Path) -> str:
    return read_bytes(path, most=LONGEST).decode("utf-8", "replace")


def _record(content: str) -> dict[str, Any] | None:
    try:
        record = parsed_json(content[COUNTER_DIGITS:], "a lease")
    except UnreadableFile:
        return None  # its writer died in the moment of writing; silence will end it
    if not isinstance(record, dict) or not isinstance(record.get("name"), str):
        return None
    since = record.get("since")
    is_a_time = isinstance(since, (int, float)) and 0 <= since < 2**40
    return record if is_a_time else None


def _holder(content: str) -> Process | None:
    record = _record(content) or {}
    host, where, process, since = (record.get(k) for k in Process.__dataclass_fields__)
    are_words = all(isinstance(word, str) for word in (host, where, since))
    # A process id of 0 or less would mean a group of processes.
    if not are_words or not isinstance(process, int) or process <= 0:
        return None
    return Process(str(host), str(where), process, str(since))


def owner() -> str:
    """Who writes a draft: this process, and a random part."""
    this = Process.this()
    host = this.host.replace("-", "_")
    return f"{host}-{this.place}-{this.process}-{this.born}-{uuid.uuid4().hex[:8]}"


def split_owner(text: str) -> tuple[str, Process | None]:
    """What stands before the words of `owner` at the end of a text, and whom they name."""
    parts = text.rsplit("-", 5)
    if len(parts) != 6 or not parts[3].isdigit():
        return text, None
    return parts[0], Process(parts[1], parts[2], int(parts[3]), parts[4])
