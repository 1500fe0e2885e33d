"""What lies in checkpoint files beside networks, or in their place, and how to get at a network.

Tensors without names, the states of optimisers, adapters that change a network held elsewhere,
and weights in forms that no plain network has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from samemind.checkpoints._layout import Weights
from samemind.lazy import torch

ADAPTERS = re.compile(r"(^|\.)(lora_[AB]|lora_(embedding|magnitude)\w*|hada_w\d|ia3_l|oft_r)(\.|$)")
FLAT = re.compile(r"(^|\.)_?flat_param(_\d+)?$")
QUANTISED = re.compile(
    r"\.(qweight|qzeros|quant_map|nested_absmax|absmax|SCB|weight_scale_inv)$|quant_state"
)
DEEPEST = 20  # levels of mappings in one another

SAVE = "save its state_dict()"


def form_of(weights: Weights) -> str:
    """What weights are that no plain network has, and what to do; '' for plain ones."""
    for pattern, said in (
        (
            ADAPTERS,
            "adapters (LoRA and its like), which change the weights of a network that is held "
            f"elsewhere. Put them into it, `model = model.merge_and_unload()`, and {SAVE}",
        ),
        (
            FLAT,
            "flattened parameters of FSDP, which have lost their shapes. Gather the whole "
            "state_dict in training (torch.distributed.checkpoint.state_dict.get_model_state_dict "
            "with full_state_dict=True), and save that",
        ),
        (
            QUANTISED,
            f"quantised weights. Load the network with its library, dequantise it, and {SAVE}",
        ),
    ):
        key = next((key for key in weights if pattern.search(key)), None)
        if key is not None:
            return f"holds {said} ('{key[:80]}')"
    return ""


def nameless(held: Any) -> list[tuple[str, int]]:
    """(where, how many) of the lists of tensors that a file holds, as `shadow_params` of averages.

    The states of optimisers are none.
    """
    return [
        (".".join((*path, str(key))), len(inner))
        for path, mapping in _mappings(held, (), set())
        if not _is_of_optimiser(mapping)
        for key, inner in mapping.items()
        if isinstance(inner, list | tuple) and len(inner) > 1
        if all(isinstance(one, torch.Tensor) for one in inner) and any(t.ndim for t in inner)
    ]


def _mappings(
    held: Any, path: tuple[str, ...], seen: set[int]
) -> Iterator[tuple[tuple[str, ...], Mapping[Any, Any]]]:
    """Every mapping in a file with its place, once, but for those in the state of an optimiser."""
    if not isinstance(held, Mapping) or id(held) in seen or len(path) > DEEPEST:
        return
    seen.add(id(held))
    yield path, held
    if not _is_of_optimiser(held):
        for key, inner in held.items():
            yield from _mappings(inner, (*path, str(key)), seen)


def _is_of_optimiser(held: Mapping[Any, Any]) -> bool:
    return {"state", "param_groups"} <= held.keys()


def what_instead(held: Any, lists: Sequence[tuple[str, int]]) -> str:
    """What a file holds that holds no tensors by name, and what to do."""
    if lists:
        name, count = lists[0]
        return (
            f"holds {count} tensors without names ('{name}'), as running averages of weights are "
            f"kept. Put them into the network, `ema.load_state_dict(...)` and "
            f"`ema.copy_to(network.parameters())`, and save the state_dict() of the network"
        )
    if any(_is_of_optimiser(mapping) for _, mapping in _mappings(held, (), set())):
        return (
            "holds the state of an optimiser and no network. Name the file that has the weights, "
            "which usually lies beside it"
        )
    return (
        "holds no weights: no tensors by name were found in it. Save the network's state_dict() in "
        "it"
    )
