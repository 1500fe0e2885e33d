"""Weights and an architecture: fitted whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samemind.architectures.base import Architecture, load_weights
from samemind.checkpoints._layout import Layout, component, has_matrices, shown
from samemind.checkpoints.layouts import layouts
from samemind.checkpoints.nearest import classes_in, is_count, nearest
from samemind.checkpoints.parts import is_averaged
from samemind.checkpoints.reading import Contents, read_file
from samemind.errors import CheckpointError
from samemind.files.archives import ALWAYS_FINE
from samemind.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

MANY_CLASSES = 100_000  # of so many a head is measured before it is made


@dataclass(frozen=True)
class Loaded:
    """A network with a file's weights in it, and how they were found there.

    - `mean`, `std`: the normalisation that the file holds, or None.
    - `steps`: what was done to the names of the weights.
    - `metadata`: what the file says beside them, see `samemind.checkpoints.metadata`.
    """

    network: nn.Module
    architecture: Architecture
    classes: int
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    steps: tuple[str, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)


def load(
    path: Path,
    architecture: Architecture,
    *,
    classes: int | None = None,
    image_size: int | None = None,
    is_trusted: bool = False,
    part: str | int | None = None,
) -> Loaded:
    """The network of an architecture with the weights of a file, in evaluation mode.

    **Arguments:**

    - `classes`: None reads it from the file.
    - `is_trusted`, `part`: see `reading.read_weights`.

    **Raises:** `CheckpointError` where the file cannot be read, or does not fit: with the first
    keys that are missing, unexpected or of another shape, and the architecture that would fit.
    """
    contents = read_file(path, is_trusted=is_trusted)
    return fit_file(contents, architecture, part=part, classes=classes, image_size=image_size)


def fit_file(
    contents: Contents,
    architecture: Architecture,
    *,
    part: str | int | None = None,
    classes: int | None = None,
    image_size: int | None = None,
) -> Loaded:
    """The network of an architecture with the weights of a file that was read; see `load`.

    Where the file holds several networks and none was asked for, the only one that fits is taken.
    """

    def does_fit(weights: dict[str, Tensor]) -> bool:
        found = list(layouts(weights))
        wanted = _network(found, architecture, classes, image_size)[0].state_dict()
        return any(not problems(layout.weights, wanted) for layout in found)

    chosen = contents.choose(part, fits=does_fit)
    return fit(
        chosen.weights,
        architecture,
        source=str(contents.path),
        classes=classes,
        image_size=image_size,
        steps=chosen.steps,
    )


def fit(
    weights: dict[str, Tensor],
    architecture: Architecture,
    *,
    source: str,
    classes: int | None = None,
    image_size: int | None = None,
    steps: tuple[str, ...] = (),
) -> Loaded:
    """The network of an architecture with these weights; see `load`.

    **Arguments:**

    - `steps`: what was done to find these weights in their file.
    """
    found = list(layouts(weights))
    network, n_classes = _network(found, architecture, classes, image_size)
    wanted = network.state_dict()
    fitting = [layout for layout in found if not problems(layout.weights, wanted)]
    if fitting:
        layout = _chosen(fitting, source)
        _check_finite(layout.weights, network, source)
        # Files written before 2018 do not count batches; the count decides nothing here.
        load_weights(
            network, wanted | {k: layout.weights[k] for k in wanted if k in layout.weights}
        )
        return Loaded(
            network.eval(),
            architecture,
            n_classes,
            layout.mean,
            layout.std,
            (*steps, *layout.steps),
        )
    # A part of the names has few problems because it has few names.
    whole = [layout for layout in found if not layout.outside]
    nearest = min(whole, key=lambda v: len(problems(v.weights, wanted)))
    raise CheckpointError(
        f"{source} does not fit '{architecture.name}' with {n_classes} classes: "
        f"{_shown(problems(nearest.weights, wanted))}. {_advice(found, architecture)}"
    )


def _network(
    found: list[Layout], architecture: Architecture, classes: int | None, image_size: int | None
) -> tuple[nn.Module, int]:
    """A network that has as many classes as the weights tell apart, and their number."""
    counts = {c for c in (classes_in(v.weights, architecture) for v in found) if c}
    n_classes = classes or max(counts, default=max(architecture.parameters))
    size = image_size or architecture.image_size
    with torch.random.fork_rng(devices=[]):
        if n_classes > MANY_CLASSES:
            _check_head(found, architecture, n_classes, size)
        network = architecture.build(n_classes, size)
    head: Any = network.get_submodule(architecture.head)
    if classes and architecture.family == "own" and head.weight.shape[0] != classes:
        raise CheckpointError(
            f"{classes} classes were asked for, but '{architecture.name}' takes no num_classes and "
            f"tells {head.weight.shape[0]} apart. Leave --classes out, or let the function take it."
        )
    return network, n_classes


def _check_head(found: list[Layout], architecture: Architecture, n_classes: int, size: int) -> None:
    """Raises `CheckpointError` before a head is made that is far larger than the file's weights."""
    small = architecture.build(2, size).get_submodule(architecture.head)
    needed = 4 * n_classes * sum(p.numel() // 2 for p in small.parameters())
    held = sum(v.numel() * v.element_size() for v in found[0].weights.values())
    most = max(ALWAYS_FINE, 2 * held)
    if needed > most:
        raise CheckpointError(
            f"The head of '{architecture.name}' with {n_classes:,} classes would take {needed:,} "
            f"bytes, and for weights of {held:,} bytes {most:,} are the most. Name another "
            f"architecture, or the right number of classes."
        )


def _chosen(fitting: list[Layout], source: str) -> Layout:
    """Of the layouts that fit, the plainest; of several parts of a file, the only one it can be.

    **Raises:** `CheckpointError` where there is no saying which part is meant, or where other
    layers lie outside of it.
    """
    if not fitting[0].outside:
        return fitting[0]
    by_part: dict[str, Layout] = {}
    found: set[frozenset[int]] = set()
    for layout in fitting:
        # The same weights may be come to by two ways of taking wrappers off.
        which = frozenset(id(v) for v in layout.weights.values())
        if which not in found:
            by_part.setdefault(layout.taken, layout)
        found.add(which)
    names = list(by_part)
    plain = [name for name in names if not is_averaged(name)] or names
    if len(plain) > 1:
        raise CheckpointError(
            f"{source} holds {len(plain)} networks of this kind: {shown(plain)}. Say which one "
            f"with --part and its name, or as FILE::PART (in Python, part=)."
        )
    layout = by_part[plain[0]]
    others = {k: v for k, v in layout.outside.items() if component(k) not in names}
    if has_matrices(others):
        raise CheckpointError(
            f"'{layout.taken}.*' of {source} fits, but other layers lie outside of it: "
            f"{shown(others)}. If they are no part of the network, --part {layout.taken} takes it "
            f"alone."
        )
    left = [f"{name}.*" for name in names if name != layout.taken] + list(others)
    return layout.renamed(layout.weights, f"left out {shown(left)}") if left else layout


def _check_finite(weights: dict[str, Tensor], network: nn.Module, source: str) -> None:
    """Raises `CheckpointError` for weights that are infinite or no numbers.

    An infinite variance of batch norm makes a unit constant, and nothing else would tell.
    """
    # Other buffers may be infinite, as the masks of transformers are.
    names = {name for name, _ in network.named_parameters()}
    names |= {name for name in weights if name.endswith(("running_mean", "running_var"))}
    bad = [k for k, v in weights.items() if k in names and not bool(torch.isfinite(v).all())]
    if bad:
        raise CheckpointError(
            f"{source} holds weights that are not finite, in {shown(bad)}. Take a checkpoint from "
            f"before the training diverged."
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
            parts.append(f"{kind}: {shown(what)}")
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
