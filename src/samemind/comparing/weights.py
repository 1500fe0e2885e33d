"""Weights from checkpoint files: tensors only, and all of them or none."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from samemind.errors import CheckpointError
from samemind.lazy import LazyModule

if TYPE_CHECKING:
    import torch
    from torch import nn
else:
    torch = LazyModule("torch")


def classes_in(weights: dict[str, torch.Tensor]) -> int:
    """The rows of the last matrix in the file: the number of classes of a classifier."""
    matrices = [w for w in weights.values() if w.ndim == 2]
    if not matrices:
        raise CheckpointError(
            "The number of classes cannot be read from the file: it holds no linear layer. "
            "State it with --classes."
        )
    return len(matrices[-1])


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint file by name; nothing in the file is executed.

    Wrappers (`state_dict`, `model`) and the prefix that DataParallel adds are taken off.

    **Raises:** `CheckpointError` for a file that holds more than tensors and plain values.
    """
    from pickle import UnpicklingError

    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        held = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise CheckpointError(
            f"{path} holds more than weights, and reading it would run code from the file: "
            f"{str(error).splitlines()[0]} Save its state_dict alone, or `samemind import` it."
        ) from None
    except Exception as error:
        raise CheckpointError(f"{path} is not a checkpoint that can be read: {error}.") from error
    return _tensors(held, path)


def _tensors(held: Any, path: Path) -> dict[str, torch.Tensor]:
    for key in ("state_dict", "model_state_dict", "model", "net"):
        while isinstance(held, dict) and isinstance(held.get(key), (dict, list)):
            held = held[key]
        if isinstance(held, list) and held:
            held = held[0]
    items = held.items() if isinstance(held, dict) else ()
    found = {k: v for k, v in items if isinstance(v, torch.Tensor)}
    if not found:
        raise CheckpointError(f"{path} holds no weights under any usual name. Save a state_dict.")
    for prefix in ("module.", "_orig_mod.", "model.", "network."):
        if all(k.startswith(prefix) for k in found):
            found = {k.removeprefix(prefix): v for k, v in found.items()}
    return found


def fit(network: nn.Module, weights: dict[str, torch.Tensor], path: Path) -> None:
    """Loads all the weights into the network, or none of them.

    **Raises:** `CheckpointError` that names the first keys and shapes that do not fit.
    """
    wanted = network.state_dict()
    missing = [k for k in wanted if k not in weights and not k.endswith("num_batches_tracked")]
    extra = [k for k in weights if k not in wanted]
    shapes = [
        f"{k} {tuple(weights[k].shape)}, not {tuple(v.shape)}"
        for k, v in wanted.items()
        if k in weights and weights[k].shape != v.shape
    ]
    problems = [
        f"{what}: {', '.join(keys[:3])}{' …' if len(keys) > 3 else ''} ({len(keys)})"
        for what, keys in (("missing", missing), ("unexpected", extra), ("other shapes", shapes))
        if keys
    ]
    if problems:
        raise CheckpointError(
            f"{path} does not fit {type(network).__name__}. {'; '.join(problems)}. "
            f"Name another --architecture, or --classes."
        )
    network.load_state_dict(weights, strict=False)
