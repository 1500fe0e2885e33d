"""What a network is called with at once: a tensor, several, or tensors by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from samemind.arrays import first_tensor
from samemind.errors import InvalidInput
from samemind.lazy import torch

if TYPE_CHECKING:
    from torch import nn


def called(network: nn.Module, batch: Any) -> Any:
    """What a network returns for a batch: of a mapping or a tuple, the entries are arguments."""
    if isinstance(batch, Mapping):
        return network(**{str(name): value for name, value in batch.items()})
    if isinstance(batch, (tuple, list)):
        return network(*batch)
    return network(batch)


def field_of(output: Any, name: str) -> Any:
    """What is named so in what a network returned; None where nothing is."""
    if isinstance(output, Mapping):
        return output.get(name)
    return getattr(output, name, None)


def n_inputs(batch: Any) -> int:
    """The number of inputs in a batch: the length of its first tensor."""
    first = first_tensor(batch)
    if first is None:
        raise InvalidInput(f"A batch holds tensors, but {type(batch).__name__} was found.")
    return len(first)


def device_of(batch: Any) -> torch.device:
    """Where a batch lies."""
    return cast("torch.Tensor", first_tensor(batch)).device


def moved(batch: Any, to: torch.device | torch.dtype) -> Any:
    """A batch with each tensor on a device, or each floating-point one in a precision."""
    if isinstance(batch, torch.Tensor):
        is_kept = isinstance(to, torch.dtype) and not batch.is_floating_point()
        return batch if is_kept else batch.to(to)
    if isinstance(batch, Mapping):
        return {name: moved(value, to) for name, value in batch.items()}
    if isinstance(batch, (tuple, list)):
        return tuple(moved(value, to) for value in batch)
    return torch.as_tensor(batch).to(to)


def first_rows(batch: Any, n: int) -> Any:
    """The first n inputs of a batch."""
    if isinstance(batch, Mapping):
        return {name: first_rows(value, n) for name, value in batch.items()}
    if isinstance(batch, (tuple, list)):
        return tuple(first_rows(value, n) for value in batch)
    return batch[:n]
