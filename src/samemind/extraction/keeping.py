"""Where the rows that a network gives are kept while it runs: in memory, or on disk."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samemind.lazy import np, torch
from samemind.sides.side import Side
from samemind.sides.streamed import StreamedSide

if TYPE_CHECKING:
    from samemind.arrays import Array

MOST_HELD = 2**30
"""Bytes of all rows together that are kept in memory; what comes after lies on disk."""


class Kept:
    """Arrays of rows, in memory as far as it goes and then in files of a folder of its own.

    The folder is gone when this is.
    """

    def __init__(self, most_held: int | None = None) -> None:
        self.most_held = MOST_HELD if most_held is None else most_held
        self.n_held = 0
        self._folder: Path | None = None
        self._n_files = 0

    def array(self, n_rows: int, n_units: int, dtype: torch.dtype) -> np.ndarray:
        """An array `(rows, units)` to be filled."""
        kind = np.dtype(np.float64 if dtype == torch.float64 else np.float32)
        size = n_rows * n_units * kind.itemsize
        if self.n_held + size <= self.most_held:
            self.n_held += size
            return np.empty((n_rows, n_units), kind)
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="samemind-rows-"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._n_files += 1
        path = self._folder / f"{self._n_files}.npy"
        return np.lib.format.open_memmap(path, mode="w+", dtype=kind, shape=(n_rows, n_units))

    @property
    def is_on_disk(self) -> bool:
        return self._folder is not None


def side_of(
    rows: np.ndarray,
    *,
    device: str | torch.device = "cpu",
    groups: Any = None,
    logits: Array | None = None,
    labels: Array | None = None,
) -> Side:
    """The rows as a side; those on disk are read in chunks, for the measures that stream."""
    further = {"groups": groups, "logits": logits, "labels": labels}
    kind = None if logits is None else "logits"
    if isinstance(rows, np.memmap):
        return StreamedSide(rows, device=str(device), kind=kind, **further)
    return Side(representation=torch.from_numpy(rows).to(device), kind=kind, **further)
