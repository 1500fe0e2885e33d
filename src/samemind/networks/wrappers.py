"""What networks are wrapped in, and the names of their layers without it.

`torch.compile`, `DataParallel`, FSDP and running averages put a module of their own around a
network or a part of it. A layer has the same name with and without them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from samemind.lazy import torch

if TYPE_CHECKING:
    from torch import nn

INSIDE = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
"""What wrappers of any kind call the module inside of them."""

KINDS = {
    "DataParallel": "module",
    "DistributedDataParallel": "module",
    "AveragedModel": "module",
    "OneHead": "network",
}
"""Wrappers by their class, and what each calls the module inside of it."""


def wrapped_by(module: nn.Module) -> str:
    """The name of the module inside of a wrapper; '' for what is none."""
    parts: Mapping[str, nn.Module | None] = dict(
        module._modules.items()
    )  # TorchScript's has no get
    named = next((name for name in INSIDE if parts.get(name) is not None), "")
    of_kind = (KINDS[kind.__name__] for kind in type(module).__mro__ if kind.__name__ in KINDS)
    return named or next((name for name in of_kind if parts.get(name) is not None), "")


def unwrapped(module: nn.Module) -> nn.Module:
    """The network inside of all that it is wrapped in."""
    while name := wrapped_by(module):
        inner = module._modules[name]
        assert inner is not None
        module = inner
    return module


def layers_of(network: nn.Module) -> Iterator[tuple[str, str, nn.Module]]:
    """(name, name with its wrappers, layer) of each layer, once, in the order of the network."""
    seen: set[int] = set()

    def walk(module: nn.Module, plain: str, full: str) -> Iterator[tuple[str, str, nn.Module]]:
        if id(module) in seen:
            return
        seen.add(id(module))
        if name := wrapped_by(module):
            inner = module._modules[name]
            assert inner is not None
            yield from walk(inner, plain, f"{full}.{name}".lstrip("."))
            return
        if plain:
            yield plain, full, module
        for name, inner in module._modules.items():
            if inner is not None:
                yield from walk(inner, f"{plain}.{name}".lstrip("."), f"{full}.{name}".lstrip("."))

    yield from walk(network, "", "")


def is_innermost(layer: nn.Module) -> bool:
    """Whether a layer has no layers inside."""
    # Not `any(layer.children())`: an empty container is false, and some refuse to be asked.
    return next(iter(layer.children()), None) is None


def is_scripted(network: object) -> bool:
    """Whether a network is a program: of TorchScript or of `torch.export`."""
    if isinstance(network, torch.jit.ScriptModule):
        return True
    if type(network).__name__ == "ExportedProgram":
        return True
    # What a program's `module()` gives has the two methods replaced, on itself, by refusals.
    return isinstance(network, torch.fx.GraphModule) and "eval" in vars(network)
