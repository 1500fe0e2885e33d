"""Weights and an architecture: fitted whole or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from samemind.architectures.base import Architecture, load_weights
from samemind.checkpoints.layouts import Layout, layouts
from samemind.checkpoints.nearest import classes_in, is_count, nearest
from samemind.checkpoints.reading import read_weights
from samemind.errors import CheckpointError
from samemind.lazy import LazyModule

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
else:
    torch = LazyModule("torch")

SHOWN = 3


@dataclass(frozen=True)
class Loaded:
    """A network with a file's weights in it, and how they were found there.

    - `mean`, `std`: the normalisation that the file holds, or None.
    - `steps`: what was done to the names of the weights.
    """

    network: nn.Module
    architecture: Architecture
    classes: int
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    steps: tuple[str, ...]


def load(
    path: Path,
    architecture: Architecture,
    *,
    classes: int | None = None,
    image_size: int | None = None,
    is_trusted: bool = False,
    part: int | None = None,
) -> Loaded:
    """The network of an architecture with the weights of a file, in evaluation mode.

    **Arguments:**

    - `classes`: None reads it from the file.
    - `is_trusted`, `part`: see `reading.read_weights`.

    **Raises:** `CheckpointError` where the file cannot be read, or does not fit: with the first
    keys that are missing, unexpected or of another shape, and the architecture that would fit.
    """
    weights = read_weights(path, is_trusted=is_trusted, part=part)
    return fit(weights, architecture, source=str(path), classes=classes, image_size=image_size)


def fit(
    weights: dict[str, Tensor],
    architecture: Architecture,
    *,
    source: str,
    classes: int | None = None,
    image_size: int | None = None,
) -> Loaded:
    """The network of an architecture with these weights; see `load`."""
    size = image_size or architecture.image_size
    found = list(layouts(weights))
    counts = {c for c in (classes_in(v.weights, architecture) for v in found) if c}
    n_classes = classes or max(counts, default=max(architecture.parameters))
    with torch.random.fork_rng(devices=[]):
        network = architecture.build(n_classes, size)
    wanted = network.state_dict()
    for layout in found:
        if not problems(layout.weights, wanted):
            # Files written before 2018 do not count batches; the count decides nothing here.
            load_weights(
                network, wanted | {k: layout.weights[k] for k in wanted if k in layout.weights}
            )
            return Loaded(
                network.eval(), architecture, n_classes, layout.mean, layout.std, layout.steps
            )
    nearest = min(found, key=lambda v: len(problems(v.weights, wanted)))
    raise CheckpointError(
        f"{source} does not fit '{architecture.name}' with {n_classes} classes: "
        f"{_shown(problems(nearest.weights, wanted))}. {_advice(found, architecture)}"
    )


def problems(weights: dict[str, Tensor], wanted: dict[str, Tensor]) -> list[tuple[str, str]]:
    """(kind, what) of everything that keeps weights from being a network's state."""
    return (
        [("missing", k) for k in wanted if k not in weights and not is_count(k)]
        + [("unexpected", k) for k in weights if k not in wanted and not is_count(k)]
        + [
            ("of another shape", f"{k} {tuple(weights[k].shape)}, not {tuple(v.shape)}")
            for k, v in wanted.items()
            if k in weights and weights[k].shape != v.shape
        ]
    )


def _shown(found: list[tuple[str, str]]) -> str:
    parts = []
    for kind in ("missing", "unexpected", "of another shape"):
        what = [w for k, w in found if k == kind]
        if what:
            more = f" and {len(what) - SHOWN} more" if len(what) > SHOWN else ""
            parts.append(f"{kind}: {', '.join(what[:SHOWN])}{more}")
    return "; ".join(parts)


def _advice(found: list[Layout], tried: Architecture) -> str:
    """Which architecture would fit, by names and shapes; the nearest where none does."""
    near = nearest(found, besides=tried.name)
    if near.share == 1:
        return f"It fits '{near.name}': use --architecture {near.name}."
    if near.share > 0.5:
        return (
            f"The nearest architecture is '{near.name}', which shares {100 * near.share:.0f} % of "
            f"the names and shapes."
        )
    return (
        "No registered architecture is near it: name one of timm (timm:NAME) or torchvision "
        "(torchvision:NAME), or a function of your own (python:MODULE:FUNCTION)."
    )
