"""What the modules inside a network give, one row per input."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from samemind.arrays import first_tensor
from samemind.errors import InvalidInput
from samemind.execution.devices import full_float32, memory_reused
from samemind.execution.unchanged import unchanged
from samemind.lazy import torch
from samemind.networks.axes import Axes, averaged
from samemind.networks.wrappers import is_innermost, layers_of, unwrapped
from samemind.registry import did_you_mean

if TYPE_CHECKING:
    from torch import Tensor, nn

POOLINGS = ("mean", "flatten")


def layer_names(network: nn.Module, wanted: Sequence[str] | str = "all") -> list[str]:
    """The layers of a network by dotted name, in their order.

    'all' are the innermost modules, those without modules inside. Names are those of the network
    itself, without what `torch.compile` or `DataParallel` put around it; with it they are taken
    as well.

    **Raises:** `InvalidInput` for a name that there is not, with the nearest one.
    """
    if wanted == "all":
        return [name for name, _, layer in layers_of(network) if is_innermost(layer)]
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    known = {full: plain for plain, full, _ in layers_of(network)}
    known |= {plain: plain for plain in known.values()}
    for name in names:
        if name not in known:
            near = did_you_mean(name, sorted(set(known.values())))
            raise InvalidInput(
                f"{type(unwrapped(network)).__name__} has no layer '{name}'. {near}It has "
                f"{len(set(known.values()))}; the first are "
                f"{', '.join(list(layer_names(network))[:4])}."
            )
    return list(dict.fromkeys(known[name] for name in names))


def at_depths(names: Sequence[str], depths: Sequence[float]) -> list[str]:
    """For each relative depth, from 0 (the first) to 1 (the last), the layer nearest to it.

    >>> at_depths(["stem", "one", "two", "three", "head"], [0.25, 1])
    ['one', 'head']

    **Raises:** `InvalidInput` for a depth that is not between 0 and 1.
    """
    for depth in depths:
        if not 0 <= depth <= 1:
            raise InvalidInput(
                f"A depth lies between 0 (the first layer) and 1 (the last), but {depth:g} was "
                f"given. Give such a number, or the name of a layer."
            )
    return [names[round(depth * (len(names) - 1))] for depth in depths]


def layer_outputs(
    network: nn.Module,
    batches: Iterable[Tensor],
    layers: Sequence[str] | str = "all",
    *,
    pooling: str = "mean",
    forward: Callable[[Tensor], Any] | None = None,
) -> dict[str, Tensor]:
    """The activations of layers, one row per input: `(N, D)` on the CPU, by name.

    In float32; in float64 where a layer gives that.

    A layer may return a tensor, or a tuple, list, dict or dataclass that holds one: the first is
    taken. A layer that runs several times counts with its last output. With 'all', layers that do
    not run, or whose output has no row per input, are left out.

    **Arguments:**

    - `batches`: images as the network expects them, or as `forward` does.
    - `pooling`: 'mean' averages over space, be it (N, C, H, W) or channels last, and over tokens
      (N, T, D), see `samemind.networks.axes`; 'flatten' keeps every value.
    - `forward`: runs the network, where that takes more than calling it: its classifier, say.

    **Raises:** `InvalidInput` for an unknown layer or pooling, or a named layer without rows.

    **Cost:** one forward pass; memory for the pooled activations. It runs in evaluation mode, and
    comes out as it went in, whatever happens.
    """
    if pooling not in POOLINGS:
        raise InvalidInput(
            f"No pooling is called '{pooling}'. {did_you_mean(pooling, list(POOLINGS))}"
            f"Known: {', '.join(POOLINGS)}."
        )
    names = layer_names(network, layers)
    found: dict[str, list[Tensor]] = {name: [] for name in names}
    n_batches = 0
    with (
        unchanged(network),
        memory_reused(),
        torch.no_grad(),
        full_float32(),
        _watched(network, names) as seen,
    ):
        network.eval()
        for images in batches:
            if not n_batches:
                seen.input_axes = _input_axes(seen, names, forward or network, images)
            seen.clear()
            (forward or network)(images)
            n_batches += 1
            for name in names:
                rows = _rows(seen.get(name), len(images), pooling)
                if rows is not None:
                    found[name].append(rows)
    whole = {n: torch.cat(parts) for n, parts in found.items() if len(parts) == n_batches > 0}
    lost = [name for name in names if name not in whole]
    if lost and layers != "all":
        raise InvalidInput(
            f"The layer '{lost[0]}' of {type(network).__name__} gives no row per input: it does "
            f"not run, or returns something else. Name the layer around it."
        )
    return whole


def _input_axes(
    seen: _Seen, names: Sequence[str], forward: Callable[[Tensor], Any], images: Tensor
) -> dict[str, int]:
    """Which axis of each layer's output is that of the inputs, where it is not the first.

    Two batches of other lengths tell: it is the one axis that is as long as either. Sizes of one
    batch alone do not, for a sequence may be as long as the batch.
    """
    shapes = []
    for n in (2, 3):
        seen.clear()
        seen.shapes = {}
        try:
            forward(images[:1].repeat(n, *[1] * (images.ndim - 1)))
        except RuntimeError:  # a network for one length of batches: the first axis, as ever
            return {}
        shapes.append(seen.shapes)
    found = {}
    for name in names:
        two, three = (held.get(name, ()) for held in shapes)
        axes = [i for i, sizes in enumerate(zip(two, three, strict=False)) if sizes == (2, 3)]
        if len(two) == len(three) and len(axes) == 1:
            found[name] = axes[0]
    return found


class _Seen(dict[str, "tuple[Tensor, int] | None"]):
    """What each layer returned in the last forward pass, and the axis of its units."""

    def __init__(self) -> None:
        self.axes = Axes()
        self.input_axes: dict[str, int] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}

    def clear(self) -> None:
        super().clear()
        self.axes.clear()


@contextmanager
def _watched(network: nn.Module, names: Sequence[str]) -> Iterator[_Seen]:
    """Collects the outputs of the named layers; the hooks are gone afterwards."""
    seen = _Seen()

    def watch(name: str) -> Any:
        def remember(layer: nn.Module, _: Any, output: Any) -> None:
            tensor = first_tensor(output)
            if tensor is None or tensor.ndim < 2:
                seen[name] = None
                return
            seen.shapes[name] = tuple(tensor.shape)
            tensor = tensor.movedim(seen.input_axes.get(name, 0), 0)
            # A copy: a following in-place operation (ReLU) would change what was kept.
            seen[name] = tensor.detach().clone(), seen.axes.of(layer, tensor)

        return remember

    hooks: list[Any] = []
    try:
        every = {name: layer for name, _, layer in layers_of(network)}
        layers = {name: every[name] for name in names}
        seen.axes.follow(network, list(layers.values()), hooks)
        for name, layer in layers.items():
            hooks.append(layer.register_forward_hook(watch(name)))
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def _rows(found: tuple[Tensor, int] | None, n_inputs: int, pooling: str) -> Tensor | None:
    if found is None or len(found[0]) != n_inputs:
        return None
    values, axis = found
    values = values if values.dtype == torch.float64 else values.float()
    if pooling == "mean":
        values = averaged(values, axis)
    return values.reshape(n_inputs, -1).cpu()
