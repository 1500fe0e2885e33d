"""Weights under some names: what readers of checkpoints hand to one another."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    Weights = dict[str, Tensor]
else:
    Weights = dict

SHOWN = 3


@dataclass(frozen=True)
class Layout:
    """Weights under some names, and what was learnt on the way to these names.

    - `mean`, `std`: the normalisation that the file holds, or None.
    - `steps`: what was done to the names, for the reader.
    - `taken`, `outside`: the part of the names that was taken, and the weights of the other parts.
    """

    weights: Weights
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    steps: tuple[str, ...] = ()
    taken: str = ""
    outside: Weights = field(default_factory=dict)

    def renamed(self, weights: Weights, step: str) -> Layout:
        return replace(self, weights=weights, steps=(*self.steps, step))


def component(name: str) -> str:
    """The first part of a dotted name."""
    return name.partition(".")[0]


def has_matrices(weights: Weights) -> bool:
    """Whether there are weights of layers, not only counts, statistics and single numbers."""
    return any(v.ndim >= 2 and v.is_floating_point() for v in weights.values())


def shown(names: Iterable[str]) -> str:
    """A few names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
