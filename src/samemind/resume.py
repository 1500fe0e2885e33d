"""The resume state of a long build, saved now and then: a kill costs at most the interval."""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samemind.lazy import LazyModule

if TYPE_CHECKING:
    import torch
else:
    torch = LazyModule("torch")

PROGRESS_FILE = "progress"


def fraction_done(folder: Path) -> float | None:
    """How far the build of a scratch folder is, from 0 to 1; None where nobody is at work."""
    try:
        return float((folder / PROGRESS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def read(file: Path) -> bytes | None:
    """What `ResumeState.write` wrote, or None where the file is absent or not whole."""
    try:
        digest, _, content = file.read_bytes().partition(b"\n")
    except OSError:
        return None
    return content if hashlib.sha256(content).hexdigest().encode() == digest else None


class ResumeState:
    """A state in a scratch folder, replaced as a whole: a kill while saving loses nothing.

    **Arguments:**

    - `folder`: belongs to one recipe, see `Store.scratch`.
    - `every`: seconds between two saves; a kill costs at most that much work.
    """

    def __init__(self, folder: Path, *, every: float) -> None:
        self.folder = folder
        self.file = folder / "state.pt"
        self.every = every
        self._saved_at = self._told_at = time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether it is time to save."""
        return time.monotonic() - self._saved_at >= self.every

    def load(self) -> dict[str, Any] | None:
        """The last state that was saved, or None. A file that is not whole counts as none."""
        content = read(self.file)
        try:
            return (
                None
                if content is None
                else torch.load(BytesIO(content), map_location="cpu", weights_only=True)
            )
        except (RuntimeError, EOFError, ValueError, pickle.UnpicklingError):
            return None

    def save(self, state: dict[str, Any]) -> None:
        """Replaces the saved state."""
        # Through memory: torch checks no checksum on reading, and hides why it could not write.
        content = BytesIO()
        torch.save(state, content)
        self.write(self.file, content.getbuffer())

    def write(self, file: Path, content: bytes | memoryview) -> None:
        """Puts a file into the scratch folder, whole or not at all."""
        draft = file.with_suffix(f".{os.getpid()}.draft")
        with draft.open("wb") as stream:
            stream.write(hashlib.sha256(content).hexdigest().encode() + b"\n")
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(file)
        self._saved_at = time.monotonic()

    def tell(self, done: float, total: int) -> None:
        """Writes down how far the build is, not too often."""
        if time.monotonic() - self._told_at >= 0.5:
            (self.folder / PROGRESS_FILE).write_text(f"{done / total:.4f}", encoding="utf-8")
            self._told_at = time.monotonic()

    def after_step(self, done: int, total: int, current: Callable[[], dict[str, Any]]) -> None:
        """Saves when it is time to, and tells how far it is. `current` is only called then."""
        self.tell(done, total)
        if done < total and self.is_due:
            self.save(current())

    def remove(self) -> None:
        """Removes the scratch folder: the artifact is there now."""
        shutil.rmtree(self.folder, ignore_errors=True)
