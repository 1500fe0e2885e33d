"""Any layer: what the modules inside a network give, and how alike two are layer by layer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from samemind.errors import InvalidInput, UndefinedScore
from samemind.lazy import LazyModule
from samemind.measures import measure
from samemind.measures.base import Pair, Side
from samemind.registry import did_you_mean

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from torch import Tensor, nn
else:
    pd = LazyModule("pandas")
    torch = LazyModule("torch")

POOLINGS = ("mean", "flatten")


def layer_names(network: nn.Module, wanted: Sequence[str] | str = "all") -> list[str]:
    """The layers of a network by dotted name, in their order.

    'all' are the innermost modules, those without modules inside.

    **Raises:** `InvalidInput` for a name that there is not, with the nearest one.
    """
    if wanted == "all":
        return [n for n, m in network.named_modules() if n and not any(m.children())]
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    known = {n for n, _ in network.named_modules() if n}
    for name in names:
        if name not in known:
            near = did_you_mean(name, sorted(known))
            raise InvalidInput(
                f"{type(network).__name__} has no layer '{name}'. {near}It has {len(known)}; the "
                f"first are {', '.join(list(layer_names(network))[:4])}."
            )
    return names


def layer_outputs(
    network: nn.Module,
    batches: Iterable[Tensor],
    layers: Sequence[str] | str = "all",
    *,
    pooling: str = "mean",
) -> dict[str, Tensor]:
    """The activations of layers, one row per input: `(N, D)` in float32 on the CPU, by name.

    A layer may return a tensor, or a tuple, list, dict or dataclass that holds one: the first is
    taken. A layer that runs several times counts with its last output. With 'all', layers that do
    not run, or whose output has no row per input, are left out.

    **Arguments:**

    - `batches`: images as the network expects them.
    - `pooling`: 'mean' averages a convolution's (N, C, H, W) over space and a token layer's
      (N, T, D) over tokens; 'flatten' keeps every value.

    **Raises:** `InvalidInput` for an unknown layer or pooling, or a named layer without rows.

    **Cost:** one forward pass; memory for the pooled activations. The network is left in
    evaluation mode and without hooks, whatever happens.
    """
    if pooling not in POOLINGS:
        raise InvalidInput(
            f"No pooling is called '{pooling}'. {did_you_mean(pooling, list(POOLINGS))}"
            f"Known: {', '.join(POOLINGS)}."
        )
    names = layer_names(network, layers)
    found: dict[str, list[Tensor]] = {name: [] for name in names}
    n_batches = 0
    network.eval()
    with _watched(network, names) as seen, torch.no_grad():
        for images in batches:
            seen.clear()
            seen["number of inputs"] = len(images)
            network(images)
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


@contextmanager
def _watched(network: nn.Module, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Collects the outputs of the named layers; the hooks are gone afterwards."""
    seen: dict[str, Any] = {}

    def watch(name: str) -> Any:
        def remember(_: nn.Module, __: Any, output: Any) -> None:
            tensor = first_tensor(output)
            # A copy: a following in-place operation (ReLU) would change what was kept.
            seen[name] = None if tensor is None else tensor.detach().clone()

        return remember

    hooks = []
    try:
        for name in names:
            hooks.append(network.get_submodule(name).register_forward_hook(watch(name)))
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def first_tensor(output: Any) -> Tensor | None:
    """The first tensor in what a layer returned: itself, or inside a container; None without."""
    if isinstance(output, torch.Tensor):
        return output
    if isinstance(output, Mapping):
        inner: Iterable[Any] = output.values()
    elif isinstance(output, (tuple, list)):
        inner = output
    elif is_dataclass(output) and not isinstance(output, type):
        inner = [getattr(output, item.name) for item in fields(output)]
    else:
        return None
    return next((t for t in map(first_tensor, inner) if t is not None), None)


def _rows(output: Tensor | None, n_inputs: int, pooling: str) -> Tensor | None:
    if output is None or output.ndim < 2 or len(output) != n_inputs:
        return None
    values = output.float()
    if pooling == "mean" and values.ndim == 4:
        values = values.mean((2, 3))
    elif pooling == "mean" and values.ndim == 3:
        values = values.mean(1)
    return values.reshape(n_inputs, -1).cpu()


def layer_map(
    first: Mapping[str, Tensor], second: Mapping[str, Tensor], name: str = "debiased_linear_cka"
) -> pd.DataFrame:
    """The score of every layer of one network with every layer of another: a row per pair.

    **Returns:** columns `layer_a`, `layer_b`, `measure`, `score` and `reason` (why a score is
    empty: a layer may be constant).

    **Cost:** what depends on one layer is computed once; the measure runs once per pair.
    """
    chosen = measure(name)
    sides_a, sides_b = (
        {layer: Side(representation=rows) for layer, rows in layers.items()}
        for layers in (first, second)
    )
    rows = []
    for a, side_a in sides_a.items():
        for b, side_b in sides_b.items():
            score, reason = float("nan"), None
            try:
                score = chosen.score(Pair(side_a, side_b))
            except UndefinedScore as error:
                reason = str(error)
            rows.append(
                {"layer_a": a, "layer_b": b, "measure": name, "score": score, "reason": reason}
            )
    return pd.DataFrame(rows)
