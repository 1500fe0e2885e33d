"""What is seen to differ in one layer of two networks: its type, its settings, its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samemind.lazy import torch
from samemind.networks.wrappers import layers_of

if TYPE_CHECKING:
    from torch import Tensor, nn

FEW_LEVELS = {
    3: 2,
    7: 3,
    8: 3,
    15: 4,
    16: 4,
    255: 8,
    256: 8,
}  # values per row, and the bits of them


def what_changed(
    layer: str, layer_b: str, networks: tuple[nn.Module, nn.Module], *, is_extra: bool = False
) -> str:
    """In words what differs in a layer by itself; "" where nothing is seen to, or none is there.

    **Arguments:** `is_extra`: whether the second one's is one too many, right after the first.
    """
    a, b = (_layer(n, name) for n, name in zip(networks, (layer, layer_b), strict=True))
    if is_extra and b is not None:
        return f"the second network has a {type(b).__name__} here, {layer_b}, that the first lacks"
    if a is not None and not layer_b:
        return f"the second network has no such {type(a).__name__}"
    if a is None or b is None:
        return ""
    told = [*_types(a, b), *_settings(a, b), *_tensors(a, b)]
    return "; ".join(told)


def _layer(network: nn.Module, name: str) -> nn.Module | None:
    wanted = name.partition("#")[0]
    return {n: layer for n, _, layer in layers_of(network)}.get(wanted)


def _types(a: nn.Module, b: nn.Module) -> list[str]:
    if type(a).__name__ == type(b).__name__:
        return []
    return [f"{type(a).__name__} became {type(b).__name__}"]


def _settings(a: nn.Module, b: nn.Module) -> list[str]:
    if type(a) is not type(b):
        return []
    first, second = (
        {n: v for n, v in vars(layer).items() if isinstance(v, (int, float, str, tuple))}
        for layer in (a, b)
    )
    return [
        f"its {name} is {second[name]} and was {first[name]}"
        for name in first
        if name in second and name != "training" and not name.startswith("_")
        and first[name] != second[name]
    ]  # fmt: skip


def _tensors(a: nn.Module, b: nn.Module) -> list[str]:
    told = []
    second = dict([*b.named_parameters(recurse=False), *b.named_buffers(recurse=False)])
    for name, one in [*a.named_parameters(recurse=False), *a.named_buffers(recurse=False)]:
        other = second.get(name)
        if other is None or name == "num_batches_tracked":
            continue
        if one.shape != other.shape:
            told.append(f"its {name} is {_size(other)} and was {_size(one)}")
            continue
        n = int((one.detach().cpu().double() != other.detach().cpu().double()).sum())
        if n:
            told.append(f"its {name} differs in {n:,} of {one.numel():,} numbers{_bits(other)}")
    return told


def _size(values: Tensor) -> str:
    return " × ".join(map(str, values.shape))


def _bits(values: Tensor) -> str:
    """Whether its rows hold so few values that they were rounded to so many bits."""
    if values.ndim < 2 or values[0].numel() < 16:
        return ""
    rows = values.detach().cpu().flatten(1)
    most = max(len(torch.unique(row)) for row in rows[:16])
    bits = next((b for levels, b in FEW_LEVELS.items() if most <= levels), None)
    if bits is None or most >= rows.shape[1]:
        return ""
    return f" (a row holds at most {most} values: rounded to {bits} bits)"
