"""Which predictions are right: what the measures that read labels share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samemind.errors import InvalidInput
from samemind.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from samemind.sides.pair import Pair


def checked_labels(pair: Pair) -> Tensor:
    """The correct classes `(N,)` as integers in [0, C).

    **Raises:** `InvalidInput` for labels of another shape or outside of the classes.
    """
    return pair.once("checked_labels", lambda: _make_checked_labels(pair))


def _make_checked_labels(pair: Pair) -> Tensor:
    labels, n_classes = pair.labels, pair.a.n_classes
    if labels.shape != (pair.n_inputs,):
        raise InvalidInput(
            f"Labels are one class per input, of shape ({pair.n_inputs},), but their shape is "
            f"{tuple(labels.shape)}. Take the arg-max of one-hot labels."
        )
    labels = labels.long()
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= n_classes:
        raise InvalidInput(
            f"Labels are classes from 0 to {n_classes - 1}, but they range from {low} to {high}. "
            f"Number them as the logits are numbered."
        )
    return labels


def correctness(pair: Pair) -> tuple[Tensor, Tensor]:
    """Whether each model is right on each input, two tensors `(N,)` of 0 and 1 in float64."""
    labels = checked_labels(pair)
    return (pair.a.predictions == labels).double(), (pair.b.predictions == labels).double()


def error_rates(pair: Pair) -> tuple[Tensor, Tensor]:
    """The share of inputs that each model gets wrong, two tensors `()`."""
    first, second = correctness(pair)
    return 1 - first.mean(), 1 - second.mean()


def joint_counts(pair: Pair) -> Tensor:
    """How many inputs are right for both, for the first only, for the second only, wrong for both
    with one class, and wrong for both with two, `(5,)` in float64.
    """
    first, second = correctness(pair)
    both_wrong = (1 - first) * (1 - second)
    same = (pair.a.predictions == pair.b.predictions).double()
    parts = (
        first * second,
        first * (1 - second),
        (1 - first) * second,
        both_wrong * same,
        both_wrong * (1 - same),
    )
    return torch.stack([part.sum() for part in parts])
