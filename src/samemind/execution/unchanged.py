"""What is lent comes back as it was: a network of someone else's, and the state of the process.

Whoever runs a network moves it, switches it to evaluation mode and watches its layers. Inside
these blocks that is allowed; after them nothing of it is left, whatever happened in between.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from samemind.errors import InvalidInput, SamemindError
from samemind.lazy import np, torch

if TYPE_CHECKING:
    from torch import Tensor, nn

_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")


@contextmanager
def modes_kept(network: nn.Module) -> Iterator[None]:
    """Every module of the network is in training or evaluation mode again, each in its own."""
    modes = [(module, module.training) for module in network.modules()]
    try:
        yield
    finally:
        for module, is_training in modes:
            if module.training != is_training:
                module.training = is_training


@contextmanager
def unchanged(network: nn.Module) -> Iterator[None]:
    """The network comes out as it went in.

    That is: the mode of every module, hooks, parameters and buffers (the same objects in the same
    memory, of the same device, type and layout, and buffers with the same values), gradients, and
    which parameters require them.

    **Cost:** a copy of the buffers; parameters are not copied.
    """
    held = [_Held(module) for module in network.modules()]
    with modes_kept(network), _uncompiled():
        try:
            yield
        finally:
            for one in held:
                one.put_back()


@contextmanager
def _uncompiled() -> Iterator[None]:
    """Compiled networks run layer by layer: what was compiled calls no hooks that came later."""
    if "torch._dynamo" not in sys.modules:  # nothing was compiled, and importing it takes seconds
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


class _Held:
    """What one module had: its hooks, and its tensors with where they lie."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.hooks = {name: dict(getattr(module, name, {})) for name in _HOOKS}
        self.parameters = [(n, _Parameter(p)) for n, p in module._parameters.items()]
        self.buffers = [(n, _Buffer(b)) for n, b in module._buffers.items()]

    def put_back(self) -> None:
        for name, before in self.hooks.items():
            now = getattr(self.module, name, {})
            if now.keys() != before.keys():
                now.clear()
                now.update(before)
        for tensors, held in (
            (self.module._parameters, self.parameters),
            (self.module._buffers, self.buffers),
        ):
            for name, one in held:
                if tensors.get(name) is not one.tensor:
                    tensors[name] = one.tensor
                one.put_back()


class _Parameter:
    """A parameter, where its values and its gradient lie, and whether it needs one."""

    def __init__(self, parameter: Any) -> None:
        self.tensor = parameter
        self.is_made = _is_made(parameter)
        if self.is_made:
            self.values, self.gradient = parameter.data, parameter.grad
            self.gradient_values = None if self.gradient is None else self.gradient.data
            self.requires_grad = parameter.requires_grad

    def put_back(self) -> None:
        if not self.is_made:
            return
        if not _lies_at(self.tensor, self.values):
            self.tensor.data = self.values
        if self.tensor.grad is not self.gradient:
            self.tensor.grad = self.gradient
        if self.gradient is not None and not _lies_at(self.gradient, self.gradient_values):
            self.gradient.data = self.gradient_values
        if self.tensor.requires_grad != self.requires_grad:
            self.tensor.requires_grad_(self.requires_grad)


class _Buffer:
    """A buffer and a copy of its values: a network may write to it, as one that counts does."""

    def __init__(self, buffer: Any) -> None:
        self.tensor = buffer
        self.is_made = _is_made(buffer) and not buffer.is_inference()
        if self.is_made:
            self.values, self.version = buffer.detach().clone(), buffer._version

    def put_back(self) -> None:
        # Writing what is there already would invalidate a graph that waits for its way back.
        if self.is_made and self.tensor._version != self.version:
            with torch.no_grad():
                self.tensor.copy_(self.values)


def _is_made(tensor: Tensor | None) -> bool:
    """Whether it has values: no lazy layer before its first pass, nothing on the meta device."""
    return tensor is not None and not torch.nn.parameter.is_lazy(tensor) and not tensor.is_meta


def _lies_at(tensor: Tensor, values: Any) -> bool:
    found = tensor.data
    is_plain = {found.device.type, values.device.type} <= {"cpu", "cuda"}
    return (
        is_plain
        and (found.device, found.dtype) == (values.device, values.dtype)
        and found.layout == values.layout == torch.strided
        and found.stride() == values.stride()
        and found.data_ptr() == values.data_ptr()
    )


@contextmanager
def process_kept() -> Iterator[None]:
    """Random states, threads, default type and gradient mode are again what they were."""
    threads, default = torch.get_num_threads(), torch.get_default_dtype()
    has_gradients = torch.is_grad_enabled()
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()
    is_on_gpu = torch.cuda.is_available() and torch.cuda.is_initialized()
    on_gpus = torch.cuda.get_rng_state_all() if is_on_gpu else []
    try:
        yield
    finally:
        torch.set_rng_state(states[0])
        random.setstate(states[1])
        np.random.set_state(states[2])
        if on_gpus:
            torch.cuda.set_rng_state_all(on_gpus)
        torch.set_default_dtype(default)
        torch.set_grad_enabled(has_gradients)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


@contextmanager
def failing_as(name: str, doing: str) -> Iterator[None]:
    """What a network raises becomes one sentence with its name; what ran out of memory stays."""
    try:
        yield
    except (SamemindError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        lines = str(error).strip().splitlines()
        why = f": {lines[0][:200].rstrip('.')}" if lines else ""
        raise InvalidInput(
            f"'{name}' failed {doing} with {type(error).__name__}{why}. Give inputs as it reads "
            f"them, or say with `forward=` how it is called."
        ) from error
