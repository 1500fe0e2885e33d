"""What other people's state dicts call their weights, and what samemind calls them.

Pure: from names and tensors to names and tensors. Training code wraps networks in many ways, and
each wrapper leaves a prefix in the names or a copy of the weights; here these are taken off again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from samemind.checkpoints._layout import Layout, Weights, component, has_matrices, shown
from samemind.checkpoints.conversions import CONVERSIONS
from samemind.datasets.base import of_unit_pixels

if TYPE_CHECKING:
    from torch import Tensor

INSIDE = frozenset(
    ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module", "module")
)
"""Components that torch.compile, FSDP, DeepSpeed and DataParallel put between those of a name,
wherever a part of a network was wrapped."""

NORMALISERS = (
    ("new_mean", "new_std"),  # the robustness library
    ("mean", "std"),
    ("mu", "sigma"),
    ("means", "sds"),  # randomised smoothing
    ("pixel_mean", "pixel_std"),
    ("image_mean", "image_std"),
    ("_mean", "_std"),
)
"""What means and deviations of channels are called, in whatever part of a network they lie."""

NO_NETWORK = re.compile(
    r"(^|_)(criterion|loss|losses|metrics?|acc|accuracy|auroc|precision|recall|confusion)(_|\d|$)"
)
"""What losses and metrics are called, where a training library keeps them beside the network."""

LEAST = 0.2  # of the values; a smaller part of a file is no network of its own


def layouts(weights: Weights) -> Iterator[Layout]:
    """The same weights under every set of names that they may be known by, the plainest first.

    Names are unwrapped one level at a time, because a network may itself have a part that is
    called like a wrapper; whoever knows the wanted names takes the first layout that has them.
    """
    for unwrapped in _unwrapped(_without_attacker(Layout(weights))):
        yield unwrapped
        for conversion in CONVERSIONS:
            converted = conversion(unwrapped)
            if converted is not None:
                yield converted


def _without_attacker(layout: Layout) -> Layout:
    """Drops the second copy of every weight that the robustness library writes."""
    kept = {k: v for k, v in layout.weights.items() if ".attacker." not in f".{k}"}
    if len(kept) in (0, len(layout.weights)):
        return layout
    return layout.renamed(kept, "dropped the second copy (attacker.*)")


def _unwrapped(layout: Layout) -> Iterator[Layout]:
    """The layout, and what is left after taking off each wrapper in turn."""
    yield from _views(layout)
    inner = {
        ".".join(c for i, c in enumerate(parts) if c not in INSIDE or i == len(parts) - 1): v
        for k, v in layout.weights.items()
        for parts in [k.split(".")]
    }
    if len(inner) == len(layout.weights) and inner.keys() != layout.weights.keys():
        found = sorted({c for k in layout.weights for c in k.split(".")[:-1] if c in INSIDE})
        yield from _views(layout.renamed(inner, f"took {shown(found)} out of the names"))


def _views(layout: Layout) -> Iterator[Layout]:
    """The layout as it is, without what belongs to no network, and without common prefixes.

    Where there is no common prefix, each large part of the names is looked at alone, with what
    lies outside of it kept in `outside`: whoever takes it must judge what it leaves.
    """
    while True:
        if (plain := _with_normaliser(layout)) is not layout:
            yield _normalising_itself(layout)
            layout = plain
        yield layout
        if strays := _strays(layout.weights):
            kept = {k: v for k, v in layout.weights.items() if k not in strays}
            layout = layout.renamed(kept, f"left out {shown(strays)}, of no network")
            yield layout
        first = {component(k) for k in layout.weights}
        prefix = next(iter(first), "")
        if len(first) != 1 or f"{prefix}." not in next(iter(layout.weights)):
            break
        inner = {k.removeprefix(f"{prefix}."): v for k, v in layout.weights.items()}
        if "" in inner or len(inner) != len(layout.weights):
            return
        layout = layout.renamed(inner, f"took off '{prefix}.'")
    if not layout.outside:
        for part in _large_parts(layout):
            yield from _views(part)


def _large_parts(layout: Layout) -> Iterator[Layout]:
    total = sum(v.numel() for v in layout.weights.values())
    for name in dict.fromkeys(component(k) for k in layout.weights if "." in k):
        inner = part_of(layout.weights, name)
        if has_matrices(inner) and sum(v.numel() for v in inner.values()) >= LEAST * total:
            outside = {k: v for k, v in layout.weights.items() if not k.startswith(f"{name}.")}
            yield replace(layout.renamed(inner, f"took '{name}.*'"), taken=name, outside=outside)


def part_of(weights: Weights, prefix: str) -> Weights:
    """The weights below a prefix, under what their names are there."""
    start = f"{prefix}."
    return {k.removeprefix(start): v for k, v in weights.items() if k.startswith(start)}


def _strays(weights: Weights) -> list[str]:
    """The names of counts, of losses and of metrics: of whatever is no part of any network."""
    of = {name: [] for name in dict.fromkeys(map(component, weights))}
    for key in weights:
        of[component(key)].append(key)
    found = [
        key
        for name, keys in of.items()
        if NO_NETWORK.search(name) or not any(weights[k].is_floating_point() for k in keys)
        for key in keys
    ]
    return [] if len(found) == len(weights) else found


def _with_normaliser(layout: Layout) -> Layout:
    """Moves a mean and a deviation per channel from among the weights to where they belong."""
    for key in layout.weights:
        before, _, leaf = key.rpartition(".")
        start = f"{before}." if before else ""
        pair = next(((m, s) for m, s in NORMALISERS if m == leaf), None)
        if pair is None or f"{start}{pair[1]}" not in layout.weights:
            continue
        mean, std = (layout.weights[start + name] for name in pair)
        if not 0 < mean.numel() == std.numel() <= 4 or not std.is_floating_point():
            continue
        kept = {k: v for k, v in layout.weights.items() if k not in (key, start + pair[1])}
        constants = _numbers(mean), _numbers(std)
        *constants, is_255 = of_unit_pixels(*constants)
        step = f"took the normalisation from '{key}' and '{start}{pair[1]}'"
        step += ", given for pixels in 0 … 255" if is_255 else ""
        return replace(layout, mean=constants[0], std=constants[1]).renamed(kept, step)
    return layout


def _normalising_itself(layout: Layout) -> Layout:
    """For networks that have the normaliser as a part of their own: pixels stay as they are."""
    channels = next(len(v.mean or ()) for v in [_with_normaliser(layout)])
    found = replace(layout, mean=(0.0,) * channels, std=(1.0,) * channels)
    return found.renamed(layout.weights, "the network normalises its images itself")


def _numbers(tensor: Tensor) -> tuple[float, ...]:
    # As decimal numbers: 0.4914 was stored as float32, and a recipe should say 0.4914.
    return tuple(float(f"{value:.7g}") for value in tensor.flatten().tolist())


# -- names of files

ALIASES = {
    "densenet": "densenet161",
    "mnasnet": "torchvision:mnasnet1_0",
    "mobilenet": "torchvision:mobilenet_v2",
    "shufflenet": "torchvision:shufflenet_v2_x1_0",
}
FILE_NAME = re.compile(r"(?P<architecture>\w+?)_(?P<norm>l2|linf)_eps(?P<epsilon>\d+(\.\d+)?)$")


@dataclass(frozen=True)
class Named:
    """What the name of a file suggests; to be confirmed by what is in it."""

    architecture: str
    norm: str
    epsilon: float


def named(stem: str) -> Named | None:
    """What a file name such as 'wide_resnet50_2_l2_eps0.25' suggests, or None.

    These are the names of Salman et al. (2020) and of their mirror on Hugging Face. L∞ radii are
    written there in units of 1/255; here they are in units of pixels in [0, 1].
    """
    found = FILE_NAME.match(stem)
    if found is None:
        return None
    architecture = ALIASES.get(found["architecture"], found["architecture"])
    epsilon = float(found["epsilon"])
    if found["norm"] == "linf":
        return Named(architecture, "Linf", epsilon / 255)
    return Named(architecture, "L2", epsilon)
