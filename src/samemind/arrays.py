"""Array types, and the one legend of axis letters.

N inputs · C classes · D units (the width of a representation) · H × W pixels · k neighbours.
Images are (N, channels, H, W) with values in [0, 1], or uint8 for the same times 255.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from itertools import chain
from typing import Any, TypeAlias

from samemind.errors import InvalidInput
from samemind.lazy import np, torch

Array: TypeAlias = "np.ndarray | torch.Tensor"


def as_pixels(images: Array, *, keeps_float64: bool = False) -> torch.Tensor:
    """Images as float32 in [0, 1]; uint8 is divided by 255, half precision is widened.

    Float64 is narrowed, unless it is to be kept, for a network in float64.

    **Raises:** `InvalidInput` unless the shape is (N, channels, H, W).
    """
    tensor = torch.as_tensor(images)
    if tensor.ndim != 4:
        raise InvalidInput(
            f"Images have the shape (N, channels, H, W), but {tuple(tensor.shape)} was found. "
            f"Add the missing axis, or move the channels to the second place."
        )
    if tensor.dtype == torch.uint8:
        return tensor.float() / 255
    return tensor if keeps_float64 and tensor.dtype == torch.float64 else tensor.float()


def tensors_in(output: Any) -> Iterator[torch.Tensor]:
    """Every tensor in what a layer or a network returned: itself, or inside a container.

    Containers are tuples, lists, mappings and dataclasses, and those inside one another.
    """
    if isinstance(output, torch.Tensor):
        return iter((output,))
    if isinstance(output, Mapping):
        inner: Iterable[Any] = output.values()
    elif isinstance(output, (tuple, list)):
        inner = output
    elif is_dataclass(output) and not isinstance(output, type):
        inner = [getattr(output, item.name) for item in fields(output)]
    else:
        return iter(())
    return chain.from_iterable(map(tensors_in, inner))


def first_tensor(output: Any) -> torch.Tensor | None:
    """The first tensor in what a layer returned; None without one."""
    return next(tensors_in(output), None)


def logits_in(output: Any) -> Any:
    """The logits in what a network returned: what is named so, else the first (N, C) tensor.

    What holds none is returned as it is, for the caller to say so.
    """
    if isinstance(output, torch.Tensor):
        return output
    named = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", None)
    if isinstance(named, torch.Tensor):
        return named
    return next((tensor for tensor in tensors_in(output) if tensor.ndim == 2), output)
