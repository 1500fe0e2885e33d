"""The resume state of a long build: saved now and then, and when the process is asked to end."""

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

    def load(self) -> dict[str, Any] | None:
        """The last state that was saved, or None. A file that is not whole counts as none."""
        try:
            digest, _, content = self.file.read_bytes().partition(b"\n")
        except OSError:
            return None
        if hashlib.sha256(content).hexdigest().encode() != digest:
            return None
        try:
            return torch.load(BytesIO(content), map_location="cpu", weights_only=True)
        except (RuntimeError, EOFError, ValueError, pickle.UnpicklingError):
            return None

    def save(self, state: dict[str, Any]) -> None:
        """Replaces the saved state."""
        draft = self.file.with_suffix(f".{os.getpid()}.draft")
        # Through memory: torch checks no checksum on reading, and hides why it could not write.
        content = BytesIO()
        torch.save(state, content)
        with draft.open("wb") as stream:
            stream.write(hashlib.sha256(content.getbuffer()).hexdigest().encode() + b"\n")
            stream.write(content.getbuffer())
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(self.file)
        self._saved_at = time.monotonic()

    def after_step(self, done: int, total: int, current: Callable[[], dict[str, Any]]) -> None:
        """Saves when it is time to, and tells how far it is. `current` is only called then."""
        if time.monotonic() - self._told_at >= 0.5:
            (self.folder / PROGRESS_FILE).write_text(f"{done / total:.4f}", encoding="utf-8")
            self._told_at = time.monotonic()
        if done < total and time.monotonic() - self._saved_at >= self.every:
            self.save(current())

    def remove(self) -> None:
        """Removes the scratch folder: the artifact is there now."""
        shutil.rmtree(self.folder, ignore_errors=True)
