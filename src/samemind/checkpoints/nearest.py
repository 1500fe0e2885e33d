"""Which architecture weights are of: the one that fits, or the nearest, by names and shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import log
from typing import TYPE_CHECKING

from samemind.architectures.base import ARCHITECTURES, Architecture
from samemind.checkpoints._layout import Layout
from samemind.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

BUILT = 8
"""Only so many architectures, of about the size of the weights, are looked at: that takes a second,
all of them ten."""


@dataclass(frozen=True)
class Nearest:
    """An architecture and the share of all names and shapes that weights have in common with it."""

    name: str
    share: float


def is_count(key: str) -> bool:
    """Whether a weight counts batches: files written before 2018 do not, and it decides nothing."""
    return key.endswith("num_batches_tracked")


def classes_in(weights: dict[str, Tensor], record: Architecture) -> int | None:
    """The number of classes that weights tell apart, if they have the head of an architecture."""
    head = weights.get(f"{record.head}.weight")
    # A 1 × 1 convolution on a pooled map is a linear layer.
    if head is None or head.ndim < 2 or tuple(head.shape[2:]) not in ((), (1, 1)):
        return None
    return len(head)


def fits(name: str, weights: dict[str, Tensor]) -> bool:
    """Whether weights are of a registered architecture, whole.

    **Cost:** builds it without values where the number of values is about right, else nothing.
    """
    record = ARCHITECTURES[name]
    classes = classes_in(weights, record)
    if classes is None:
        return False
    n_values = _n_values(weights)
    wanted = record.parameters.get(classes)
    # Statistics of batch norm add at most a few per cent to the values of a file.
    if wanted is not None and not wanted <= n_values <= 1.1 * wanted:
        return False
    return _share(weights, record) == 1


def nearest(found: Sequence[Layout], *, besides: str = "") -> Nearest:
    """The architecture, other than `besides`, that shares most names and shapes with weights.

    **Cost:** builds eight architectures without values, a second the first time.
    """
    n_values = min(_n_values(layout.weights) for layout in found)

    def distance(name: str) -> float:
        record = ARCHITECTURES[name]
        counts = [classes_in(layout.weights, record) or 0 for layout in found]
        sizes = [record.parameters[c] for c in counts if c in record.parameters]
        return abs(log((sizes or [max(record.parameters.values())])[0] / max(n_values, 1)))

    near = sorted((n for n in ARCHITECTURES if n != besides), key=distance)[:BUILT]
    shares = {n: max(_share(v.weights, ARCHITECTURES[n]) for v in found) for n in near}
    best = max(shares, key=lambda n: shares[n])
    return Nearest(best, shares[best])


def _n_values(weights: dict[str, Tensor]) -> int:
    return sum(value.numel() for value in weights.values())


def _share(weights: dict[str, Tensor], record: Architecture) -> float:
    """Of the names on either side, the share that the two have in common, with the same shape."""
    try:
        wanted = _shapes(record.name, classes_in(weights, record) or 10)
    except (RuntimeError, NotImplementedError):  # a network that computes while it is built
        return 0.0
    held = {k: tuple(v.shape) for k, v in weights.items() if not is_count(k)}
    return len(wanted.items() & held.items()) / len(wanted.keys() | held.keys())


@cache
def _shapes(name: str, classes: int) -> dict[str, tuple[int, ...]]:
    """The shapes of a registered architecture's weights, found without making any values."""
    record = ARCHITECTURES[name]
    # On the meta device the largest network takes a fraction of a second and no memory.
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        network = record.build(classes, record.image_size)
    return {k: tuple(v.shape) for k, v in network.state_dict().items() if not is_count(k)}
