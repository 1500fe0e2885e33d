"""What other people's state dicts call their weights, and what samemind calls them.

Pure: from names and tensors to names and tensors. Training code wraps networks in many ways, and
each wrapper leaves a prefix in the names or a copy of the weights; here these are taken off again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    Weights = dict[str, Tensor]

STATE_KEYS = ("state_dict", "model_state_dict", "model", "net", "network", "params", "weights")
"""Under which a file holds the weights, where it holds more than them; in order of preference."""

WRAPPERS = ("module.", "_orig_mod.", "model.", "network.", "net.", "1.")
"""Prefixes of DataParallel, torch.compile, and of networks that are part of a larger one.
The last is that of a network behind its normaliser in an nn.Sequential."""

NORMALISERS = (
    ("normalizer.new_mean", "normalizer.new_std"),  # the robustness library
    ("normalize.mean", "normalize.std"),
    ("normalizer.mean", "normalizer.std"),
    ("0.mean", "0.std"),
    ("mu", "sigma"),
    ("mean", "std"),
)


@dataclass(frozen=True)
class Layout:
    """Weights under some names, and what was learnt on the way to these names.

    - `mean`, `std`: the normalisation that the file holds, or None.
    - `steps`: what was done to the names, for the reader.
    """

    weights: Weights
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    steps: tuple[str, ...] = ()

    def renamed(self, weights: Weights, step: str) -> Layout:
        return replace(self, weights=weights, steps=(*self.steps, step))


def state_dicts(held: Any) -> list[Weights]:
    """The state dicts in what a file holds: usually one; several for a list of networks."""
    if isinstance(held, (list, tuple)):
        return [found for item in held for found in state_dicts(item)]
    if not isinstance(held, Mapping):
        return []
    for key in STATE_KEYS:
        inner = held.get(key)
        if isinstance(inner, (Mapping, list, tuple)) and state_dicts(inner):
            return state_dicts(inner)
    tensors = {str(key): value for key, value in held.items() if hasattr(value, "shape")}
    return [tensors] if tensors else []


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
    while True:
        layout = _with_normaliser(layout)
        yield layout
        prefix = next((p for p in WRAPPERS if all(k.startswith(p) for k in layout.weights)), None)
        if prefix is None:
            return
        inner = {k.removeprefix(prefix): v for k, v in layout.weights.items()}
        layout = layout.renamed(inner, f"took off '{prefix}'")


def _with_normaliser(layout: Layout) -> Layout:
    """Moves a mean and a deviation per channel from among the weights to where they belong."""
    weights = layout.weights
    for mean, std in NORMALISERS:
        if mean in weights and std in weights and weights[mean].numel() <= 4:
            kept = {k: v for k, v in weights.items() if k not in (mean, std)}
            found = replace(layout, mean=_numbers(weights[mean]), std=_numbers(weights[std]))
            return found.renamed(kept, f"took the normalisation from '{mean}' and '{std}'")
    return layout


def _numbers(tensor: Tensor) -> tuple[float, ...]:
    # As decimal numbers: 0.4914 was stored as float32, and a recipe should say 0.4914.
    return tuple(float(f"{value:.7g}") for value in tensor.flatten().tolist())


# -- other names for the same networks


def _cifar_resnet(layout: Layout) -> Layout | None:
    """The ResNets for CIFAR of the robustness library and of many others."""
    if "linear.weight" not in layout.weights or "layer1.0.conv1.weight" not in layout.weights:
        return None
    renamed = {
        re.sub(r"^linear\.", "fc.", k).replace(".shortcut.", ".downsample."): v
        for k, v in layout.weights.items()
    }
    return layout.renamed(renamed, "renamed linear to fc and shortcut to downsample")


def _old_densenet(layout: Layout) -> Layout | None:
    """torchvision's DenseNets before 2019: `norm.1` for `norm1`."""
    pattern = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")
    if not any(pattern.search(k) for k in layout.weights):
        return None
    renamed = {pattern.sub(r"\1\2", k): v for k, v in layout.weights.items()}
    return layout.renamed(renamed, "renamed norm.1 to norm1 and the like")


def _unused_block(layout: Layout) -> Layout | None:
    """Wide ResNets of TRADES hold a block that their forward pass leaves out."""
    kept = {k: v for k, v in layout.weights.items() if not k.startswith("sub_block1.")}
    if len(kept) == len(layout.weights):
        return None
    return layout.renamed(kept, "dropped the unused sub_block1")


def _cifar_densenet(layout: Layout) -> Layout | None:
    """The DenseNets for CIFAR of the robustness library.

    A layer of theirs puts its new channels before the old ones, torchvision's behind them; so
    whatever reads the concatenation must have its input channels reordered.
    """
    if "dense1.0.conv1.weight" not in layout.weights:
        return None
    growth = layout.weights["dense1.0.conv2.weight"].shape[0]
    depths = {
        block: sum(k.startswith(f"dense{block}.") and k.endswith("conv1.weight") for k in keys)
        for keys in [list(layout.weights)]
        for block in range(1, 5)
    }
    renamed = {}
    for name, tensor in layout.weights.items():
        new, read = _densenet_name(name, depths)
        if read is not None and tensor.ndim:
            width = tensor.shape[1] if tensor.ndim > 1 else tensor.shape[0]
            order = _behind_instead_of_before(width, growth, read)
            tensor = tensor[:, order] if tensor.ndim > 1 else tensor[order]
        renamed[new] = tensor
    return layout.renamed(renamed, "renamed and reordered the channels of dense blocks")


def _densenet_name(name: str, depths: Mapping[int, int]) -> tuple[str, int | None]:
    """The name in torchvision, and how many layers' outputs the weight reads, if any."""
    if name.startswith("conv1."):
        return f"features.conv0.{name[6:]}", None
    if name.startswith("bn."):
        return f"features.norm5.{name[3:]}", depths[4]
    if name == "linear.weight":
        return "classifier.weight", depths[4]
    if name == "linear.bias":
        return "classifier.bias", None
    if found := re.match(r"trans(\d)\.(bn|conv)\.(.*)", name):
        block, part, rest = found.groups()
        part = "norm" if part == "bn" else part
        return f"features.transition{block}.{part}.{rest}", depths[int(block)]
    if found := re.match(r"dense(\d)\.(\d+)\.(bn|conv)([12])\.(.*)", name):
        block, layer, part, number, rest = found.groups()
        part = "norm" if part == "bn" else part
        new = f"features.denseblock{block}.denselayer{int(layer) + 1}.{part}{number}.{rest}"
        return new, int(layer) if number == "1" else None
    return name, None


def _behind_instead_of_before(width: int, growth: int, layers: int) -> list[int]:
    """Where each channel of torchvision's order lies in the other one."""
    first = list(range(layers * growth, width))
    return first + [
        i for layer in reversed(range(layers)) for i in range(layer * growth, (layer + 1) * growth)
    ]


CONVERSIONS: tuple[Callable[[Layout], Layout | None], ...] = (
    _cifar_resnet,
    _old_densenet,
    _unused_block,
    _cifar_densenet,
)


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
