"""Other names, and other orders of channels, for networks that samemind has under its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from samemind.checkpoints._layout import Layout


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
