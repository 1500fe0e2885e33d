"""A network of one's own: `python:MODULE:FUNCTION`, or `MODULE:FUNCTION` for short.

It is a function that returns a torch module; a study records the long way of writing it.

The function is called with `num_classes` (or `classes`) if it takes that, else without arguments.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache, partial
from importlib import import_module
from importlib.util import find_spec
from inspect import signature
from math import isqrt
from typing import TYPE_CHECKING, Any

from samemind.architectures.base import ARCHITECTURES, Architecture
from samemind.architectures.heads import find_head
from samemind.errors import InvalidInput, UnknownName, reason
from samemind.lazy import torch
from samemind.registry import did_you_mean

if TYPE_CHECKING:
    from torch import nn

SIZES = (32, 28, 64, 224, 8)
"""Sizes of images that a network is tried with; the first that it can read is taken."""


def function_named(text: str) -> tuple[str, str] | None:
    """(module, function) of 'python:MODULE:FUNCTION' or 'MODULE:FUNCTION'; None for other text."""
    module, colon, name = text.removeprefix("python:").partition(":")
    is_one = colon and module.replace(".", "").isidentifier() and name.isidentifier()
    return (module, name) if is_one else None


def _from_short(text: str) -> Architecture | None:
    function = function_named(text)
    if function is None:
        return None
    _look_beside_the_caller()
    if find_spec(function[0].partition(".")[0]) is None:
        raise UnknownName(
            f"No architecture is called '{text}', and there is no module '{function[0]}'. "
            f"{did_you_mean(function[0], ['timm', 'torchvision', 'python'])}"
            f"`samemind list architectures` shows those there are."
        )
    return from_function(text)


@cache
def from_function(text: str) -> Architecture:
    """The record of what a function builds, tried with ten classes.

    **Raises:** `InvalidInput` where there is no such function, it does not return a torch module,
    or that module has no single linear head.
    """
    module, _, name = text.partition(":")
    function = found_in(module, name)
    build = partial(_build, function)
    # Looking a name up must not shift anybody's random numbers.
    with torch.random.fork_rng(devices=[]):
        network = build(10, SIZES[0])
    if not isinstance(network, torch.nn.Module):
        raise InvalidInput(
            f"'python:{text}' returned {type(network).__name__}, but an architecture is a function "
            f"that returns a torch.nn.Module from images (N, channels, H, W) to logits (N, C)."
        )
    (channels, size), head = _tried(f"python:{text}", network)
    layer: Any = network.get_submodule(head)
    return Architecture(
        name=f"python:{text}",
        summary=f"What {module}.{name} builds",
        family="own",
        build=build,
        head=head,
        representation_size=layer.weight.shape[1],
        image_size=size,
        channels=channels,
        parameters={layer.weight.shape[0]: sum(p.numel() for p in network.parameters())},
        reference="",
    )


def found_in(module: str, name: str) -> Any:
    """What a module holds under a name; modules beside the caller are found.

    **Raises:** `InvalidInput` where there is no such module, or nothing of that name in it.
    """
    _look_beside_the_caller()
    try:
        found = getattr(import_module(module), name)
    except ImportError as error:
        raise InvalidInput(
            f"The module of 'python:{module}:{name}' cannot be imported: {reason(error)}. Run "
            f"the command where it is importable."
        ) from error
    except AttributeError:
        known = [n for n in vars(sys.modules[module]) if not n.startswith("_")]
        raise InvalidInput(
            f"The module '{module}' has no '{name}'. {did_you_mean(name, known)}"
            f"Found: {', '.join(known[:8])}."
        ) from None
    return found


def _look_beside_the_caller() -> None:
    if "" not in sys.path:
        sys.path.insert(0, "")  # as `python -m` does


def class_argument(function: Callable[..., Any]) -> str | None:
    """What a function calls the number of classes; None where it takes none."""
    try:
        taken = signature(function).parameters
    except (TypeError, ValueError):  # some built-in callables do not say
        return None
    return next((name for name in ("num_classes", "classes") if name in taken), None)


def _build(function: Callable[..., nn.Module], classes: int, _image_size: int) -> nn.Module:
    argument = class_argument(function)
    return function(**{argument: classes}) if argument else function()


def shapes_for(
    network: nn.Module,
    *,
    channels: int | None = None,
    size: int | None = None,
    usual: tuple[int, int] | None = None,
) -> list[tuple[int, int]]:
    """(channels, size) of images that a network may read, the likeliest first.

    **Arguments:**

    - `channels`, `size`: where they are known; else its first convolution tells the channels, and
      without one its first linear layer the number of pixels.
    - `usual`: (channels, size) of the images at hand.
    """
    layers = [m for m in network.modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))]
    first: Any = layers[0] if layers else None
    found = [usual] if usual else []
    if isinstance(first, torch.nn.Conv2d):
        kinds = [first.in_channels]
    else:
        kinds = [3, 1]
        pixels = first.in_features if first is not None else 0
        sides = [(c, isqrt(pixels // c)) for c in kinds]
        found += [(c, side) for c, side in sides if c * side * side == pixels > 0]
    sizes = (size,) if size else ((usual[1],) if usual else ()) + SIZES
    found += [(c, s) for c in kinds for s in sizes]
    return [
        (c, s)
        for c, s in dict.fromkeys(found)
        if channels in (None, c) and size in (None, s) and (c in kinds or channels == c)
    ]


def _tried(name: str, network: nn.Module) -> tuple[tuple[int, int], str]:
    """The first (channels, size) of images that the network can read, and the name of its head."""
    trouble: Exception | None = None
    generator = torch.Generator().manual_seed(0)
    shapes = shapes_for(network)
    for channels, size in shapes:
        try:
            images = torch.rand(2, channels, size, size, generator=generator)
            return (channels, size), find_head(network, images)
        except InvalidInput as error:
            raise InvalidInput(f"'{name}' cannot be compared: {error}") from error
        except (RuntimeError, ValueError) as error:
            trouble = error
    raise InvalidInput(f"'{name}' {could_not_read(shapes, trouble)}")


def could_not_read(shapes: list[tuple[int, int]], trouble: Exception | None) -> str:
    """What is said of a network that could not read images of any shape that was tried."""
    tried = ", ".join(f"{c} × {s} × {s}" for c, s in shapes[:8]) or "none"
    why = str(trouble).splitlines()[0][:200].rstrip(".") if trouble and str(trouble) else "unknown"
    return (
        f"could not read images of channels × height × width {tried} ({why}). Give the size that "
        f"it reads with --image-size, or wrap it in a module that reads images."
    )


ARCHITECTURES.register_prefix("python", from_function)
ARCHITECTURES.register_other(_from_short)
