"""A device whose memory the host cannot reach, for tests on machines that have no GPU.

A tensor on it holds its values on the CPU, and every operation is done there. What a GPU would
refuse is refused here too: two devices in one operation, random numbers from a generator of the
CPU, and `numpy()`. Each time that the host waits for a value of the device (`item`, `bool`,
`nonzero`, indexing by a mask, a copy to the CPU) is counted: on a GPU all of these stop the queue.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

# A device type that torch knows, runs no kernels on, and needs no driver for.
FAR = torch.device("lazy")

_WAITS = {"_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero"}
# These take one tensor from elsewhere: a copy by intent, and indices, which CUDA copies itself.
_MAY_MIX = {"copy_", "_to_copy", "index", "index_put", "index_put_", "_index_put_impl_"}


class FarTensor(torch.Tensor):
    """A tensor on the far device."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> "FarTensor":
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=FAR,
        )
        made.held = held
        return made

    def __repr__(self, *, tensor_contents: object = None) -> str:
        del tensor_contents
        return f"FarTensor({tuple(self.shape)}, {self.dtype})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _do(func, args, kwargs or {}, waits=[])


class FarDevice(TorchDispatchMode):
    """While it is active, tensors can be made on `FAR`; `waits` names what the host waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _do(func, args, kwargs or {}, self.waits)


@contextmanager
def far_device() -> Iterator[FarDevice]:
    """The far device, for as long as the block lasts."""
    with FarDevice() as mode:
        yield mode


def _do(func: Any, args: Any, kwargs: dict[str, Any], waits: list[str]) -> Any:
    name = func._schema.name.removeprefix("aten::")
    leaves, _ = tree_flatten((args, kwargs))
    tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
    far = [t for t in tensors if isinstance(t, FarTensor)]
    near = [t for t in tensors if not isinstance(t, FarTensor)]
    asked = kwargs.get("device")
    goes_far = bool(far) if asked is None else torch.device(asked).type == FAR.type
    if name == "copy_":
        goes_far = isinstance(args[0], FarTensor)
    if far and name not in _MAY_MIX and any(t.ndim for t in near):
        raise RuntimeError(f"{name} was given tensors on two devices: cpu and {FAR}.")
    if near and not far and name == "copy_":
        goes_far = False
    if goes_far and isinstance(kwargs.get("generator"), torch.Generator):
        raise RuntimeError(f"{name} on {FAR} was given a generator of the CPU.")
    if far and _waits(name, args, goes_far=goes_far):
        waits.append(name)
    if asked is not None:
        kwargs = kwargs | {"device": torch.device("cpu")}
    held = tree_map_only(FarTensor, lambda t: t.held, (args, kwargs))
    found = func(*held[0], **held[1])
    written = {id(t.held): t for t in far}

    def wrapped(tensor: torch.Tensor) -> torch.Tensor:
        if id(tensor) in written:  # in place, or into `out`
            return written[id(tensor)]
        return FarTensor(tensor) if goes_far else tensor

    return tree_map_only(torch.Tensor, wrapped, found)


def _waits(name: str, args: Any, *, goes_far: bool) -> bool:
    if name in _WAITS or not goes_far:
        return True
    if name.startswith("index"):
        indices = args[1] if isinstance(args[1], (list, tuple)) else [args[1]]
        return any(isinstance(i, torch.Tensor) and i.dtype == torch.bool for i in indices)
    return False
