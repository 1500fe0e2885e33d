"""What every layer of a network read and gave, call by call, in the order in which they ran."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from samemind.arrays import first_tensor
from samemind.execution.devices import full_float32, memory_reused
from samemind.execution.unchanged import unchanged
from samemind.lazy import torch
from samemind.networks.wrappers import is_innermost, layers_of

if TYPE_CHECKING:
    from torch import Tensor, nn

OUTPUT = "the output"


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a layer.

    - `name`: dotted, without wrappers; the second call of the same layer ends in '#2'. `kind`: the
      name of its type.
    - `reads`, `gives`: the first tensor that it was given and that it returned, on the CPU in
      float32 or float64; None where there is none.
    """

    name: str
    kind: str
    reads: Tensor | None
    gives: Tensor | None

    @property
    def layer(self) -> str:
        """The name of the layer, whichever of its calls this is."""
        return self.name.partition("#")[0]


def plain(network: nn.Module) -> nn.Module:
    """The network that torch.compile wraps, whose layers can be watched; any other one itself."""
    return getattr(network, "_orig_mod", network)


def trace(
    network: nn.Module, images: Tensor, forward: Callable[[Tensor], Any] | None = None
) -> list[Call]:
    """What each innermost layer reads and gives for these images; the network's output comes last.

    Layers that own parameters count as well, though they may hold others inside (attention).

    **Arguments:**

    - `images`: as the network expects them, or as `forward` does, which runs it.

    **Returns:** calls in the order in which they ended; of equal networks, equal lists.

    **Cost:** one forward pass; memory for what every layer reads and gives. The network runs in
    evaluation mode and comes out as it went in.
    """
    calls: list[Call] = []
    with unchanged(network), memory_reused(), torch.no_grad(), full_float32():
        network.eval()
        with _recorded(network, calls):
            output = (forward or network)(images)
    return [*calls, Call(OUTPUT, "", None, _kept(first_tensor(output)))]


def _is_told(layer: nn.Module) -> bool:
    own = [*layer.parameters(recurse=False), *layer.buffers(recurse=False)]
    return bool(own) or is_innermost(layer)


@contextmanager
def _recorded(network: nn.Module, calls: list[Call]) -> Iterator[None]:
    """Adds a call for every call of a layer; the hooks are gone afterwards."""
    times: dict[str, int] = {}
    waiting: dict[str, list[Tensor | None]] = {}

    def watch(name: str, layer: nn.Module) -> list[Any]:
        # What stands for an operation of a graph is given what that gave.
        is_shown = getattr(layer, "shows_operation", False)

        def before(_: nn.Module, given: Any, named: Any) -> None:
            read = None if is_shown else first_tensor(given)
            read = first_tensor(named) if read is None and not is_shown else read
            waiting.setdefault(name, []).append(_kept(read))

        def after(module: nn.Module, _: Any, output: Any) -> None:
            times[name] = times.get(name, 0) + 1
            told = name if times[name] == 1 else f"{name}#{times[name]}"
            held = waiting.get(name) or [None]
            calls.append(Call(told, type(module).__name__, held.pop(), _kept(first_tensor(output))))

        return [
            layer.register_forward_pre_hook(before, with_kwargs=True),
            layer.register_forward_hook(after),
        ]

    hooks: list[Any] = []
    try:
        for name, _, layer in layers_of(network):
            if _is_told(layer):
                hooks += watch(name, layer)
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _kept(values: Tensor | None) -> Tensor | None:
    """A copy: a following in-place operation (ReLU) would change what was kept."""
    if values is None:
        return None
    values = values.detach()
    values = values if values.dtype == torch.float64 else values.float()
    return values.to("cpu", copy=True)
