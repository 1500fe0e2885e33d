"""The resume state of a long build, saved now and then: a kill costs at most the interval.

A request to end (SIGTERM before a pre-emption, Ctrl-C) waits for the step in work and a save, so
that it costs nothing.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from types import FrameType
from typing import Any, Self

from samemind.errors import UnreadableFile
from samemind.files.reading import read_bytes, read_text
from samemind.lazy import torch
from samemind.store.leases import owner, split_owner

PROGRESS_FILE = "progress"
MOST_OF_STATE = 2**38  # bytes; the state of a network that is trained is a few gigabytes
DRAFT = ".draft-"


def fraction_done(folder: Path) -> float | None:
    """How far the build of a scratch folder is, from 0 to 1; None where nobody is at work."""
    try:
        done = float(read_text(folder / PROGRESS_FILE, most=100))
    except ValueError:
        return None
    return done if 0 <= done <= 1 else None


def read(file: Path) -> bytes | None:
    """What `ResumeState.write` wrote, or None where the file is absent or not whole."""
    try:
        digest, _, content = read_bytes(file, most=MOST_OF_STATE).partition(b"\n")
    except UnreadableFile:
        return None
    return content if hashlib.sha256(content).hexdigest().encode() == digest else None


class HeldBack:
    """Requests to end, held back inside a `with` block until `deliver` or the end of the block.

    Held back are SIGTERM and what else somebody handles (Ctrl-C, submitit's signals); their own
    handlers get them when they are delivered. The second time that one comes, it passes at once.
    Only the main thread can hold signals back; in others this does nothing.
    """

    NAMES = ("SIGTERM", "SIGINT", "SIGUSR1", "SIGUSR2")

    def __init__(self) -> None:
        self._handlers: dict[int, Any] = {}
        self._asked: list[int] = []

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (getattr(signal, name) for name in self.NAMES if hasattr(signal, name)):
                handler = signal.getsignal(number)
                if callable(handler) or (number == signal.SIGTERM and handler is signal.SIG_DFL):
                    self._handlers[number] = handler
                    signal.signal(number, self._hold)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}
        self.deliver()

    @property
    def has_some(self) -> bool:
        """Whether somebody asked to end since the last delivery."""
        return bool(self._asked)

    def deliver(self) -> None:
        """Passes on what was held back; most handlers end the process or raise an exception."""
        asked, self._asked = self._asked, []
        for number in asked:
            self._pass(number)

    def _hold(self, number: int, _: FrameType | None) -> None:
        if number in self._asked:
            self._pass(number)
        else:
            self._asked.append(number)

    def _pass(self, number: int) -> None:
        if number not in self._handlers:
            signal.raise_signal(number)
            return
        signal.signal(number, self._handlers[number])
        try:
            signal.raise_signal(number)
        finally:
            # A handler may decide to let the work go on.
            signal.signal(number, self._hold)


class ResumeState:
    """A state in a scratch folder, replaced as a whole: a kill while saving loses nothing.

    In a `with` block, a request to end is held back until the step in work is done and saved.

    **Arguments:**

    - `folder`: belongs to one recipe, see `Store.scratch`.
    - `every`: seconds between two saves; a kill costs at most that much work.
    """

    def __init__(self, folder: Path, *, every: float) -> None:
        self.folder = folder
        self.file = folder / "state.pt"
        self.every = every
        self._saved_at = self._told_at = time.monotonic()
        self._requests = HeldBack()

    def __enter__(self) -> Self:
        self._requests.__enter__()
        return self

    def __exit__(self, *raised: object) -> None:
        self._requests.__exit__(*raised)

    @property
    def is_due(self) -> bool:
        """Whether it is time to save: the interval is over, or somebody asked to end."""
        return self._requests.has_some or time.monotonic() - self._saved_at >= self.every

    def give_way(self) -> None:
        """Ends the process where somebody asked for it; to be called when all is saved."""
        self._requests.deliver()

    def load(self) -> dict[str, Any] | None:
        """The last state that was saved, or None. A file that is not whole counts as none."""
        content = read(self.file)
        try:
            return (
                None
                if content is None
                else torch.load(BytesIO(content), map_location="cpu", weights_only=True)
            )
        except MemoryError:
            raise
        except Exception:  # torch raises anything over what it did not write itself
            return None

    def save(self, state: dict[str, Any]) -> None:
        """Replaces the saved state."""
        # Through memory: torch checks no checksum on reading, and hides why it could not write.
        content = BytesIO()
        torch.save(state, content)
        self.write(self.file, content.getbuffer())

    def write(self, file: Path, content: bytes | memoryview) -> None:
        """Puts a file into the scratch folder, whole or not at all."""
        self._remove_drafts_of_the_dead()
        draft = file.with_name(f"{file.name}{DRAFT}{owner()}")
        with draft.open("wb") as stream:
            stream.write(hashlib.sha256(content).hexdigest().encode() + b"\n")
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(file)
        self._saved_at = time.monotonic()

    def _remove_drafts_of_the_dead(self) -> None:
        # As large as a state each: kills in the moment of saving must not fill the disk.
        for draft in self.folder.glob(f"*{DRAFT}*"):
            _, who = split_owner(draft.name)
            if who is not None and who.is_gone:
                draft.unlink(missing_ok=True)

    def tell(self, done: float, total: int) -> None:
        """Writes down how far the build is, not too often."""
        if time.monotonic() - self._told_at >= 0.5:
            (self.folder / PROGRESS_FILE).write_text(f"{done / total:.4f}", encoding="utf-8")
            self._told_at = time.monotonic()

    def after_step(self, done: int, total: int, current: Callable[[], dict[str, Any]]) -> None:
        """Saves when it is time to, and tells how far it is. `current` is only called then."""
        self.tell(done, total)
        # After the last step the artifact is written, and a request to end waits for that.
        if done < total and self.is_due:
            self.save(current())
            self.give_way()

    def remove(self) -> None:
        """Removes the scratch folder: the artifact is there now."""
        shutil.rmtree(self.folder, ignore_errors=True)
