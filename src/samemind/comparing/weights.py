"""Weights from checkpoint files, for commands that are told little about them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from samemind.checkpoints import reading
from samemind.checkpoints.layouts import layouts
from samemind.errors import CheckpointError

if TYPE_CHECKING:
    import torch


def classes_in(weights: dict[str, torch.Tensor]) -> int:
    """The rows of the last matrix in the file: the number of classes of a classifier."""
    matrices = [w for w in weights.values() if w.ndim == 2]
    if not matrices:
        raise CheckpointError(
            "The number of classes cannot be read from the file: it holds no linear layer. "
            "State it with --classes."
        )
    return len(matrices[-1])


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint file, without the wrappers that training left around them.

    **Raises:** `CheckpointError` for a file that holds more than tensors and plain values.
    """
    *_, innermost = layouts(reading.read_weights(path, part=None))
    return innermost.weights
