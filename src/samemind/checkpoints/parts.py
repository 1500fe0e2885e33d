"""Which networks a file holds: groups of tensors by name, wherever in it they lie."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from samemind.checkpoints._layout import Weights, has_matrices, shown
from samemind.checkpoints.layouts import part_of
from samemind.errors import CheckpointError
from samemind.lazy import np, torch
from samemind.registry import did_you_mean

USUAL = ("state_dict", "model_state_dict", "model", "net", "network", "params", "weights")
"""Under which training code keeps the network, where a file holds other groups beside it."""

AVERAGED = re.compile(r"(^|[._])(ema|swa|average[d]?|avg|shadow|polyak)\d*([._]|$)", re.IGNORECASE)
"""What running averages of weights are called."""

DEEPEST = 20  # levels of mappings and lists in one another
SEVERAL = 12  # names that a message lists


@dataclass(frozen=True)
class Part:
    """One group of tensors: where it lies in the file, and what is told of how it was taken."""

    name: str
    weights: Weights
    steps: tuple[str, ...] = ()


def is_averaged(name: str) -> bool:
    """Whether a name is one that running averages of weights go by."""
    return AVERAGED.search(name) is not None


def parts_in(held: Any) -> list[Part]:
    """Every network in what a file holds, those under the usual names first.

    A group is a mapping of names to tensors. The states of optimisers are none, and neither are
    statistics and single numbers where there are weights of layers.
    """
    found = list(_groups(held, (), set()))
    if any(has_matrices(part.weights) for part in found):
        found = [part for part in found if has_matrices(part.weights)]
    # Tensors beside a network that are named like no part of one: images, labels, a random state.
    if len(found) > 1:
        found = [p for p in found if p.name or any("." in key for key in p.weights)]
    return sorted(found, key=_rank)


def _rank(part: Part) -> int:
    first = part.name.partition(".")[0]
    return USUAL.index(first) if first in USUAL else len(USUAL)


def _groups(held: Any, path: tuple[str, ...], seen: set[int]) -> Iterator[Part]:
    # A file may hold itself, or a few mappings in one another many million times.
    if not isinstance(held, (list, tuple, Mapping)) or id(held) in seen or len(path) > DEEPEST:
        return
    seen.add(id(held))
    if not isinstance(held, Mapping):
        for i, item in enumerate(held):
            yield from _groups(item, (*path, str(i)), seen)
        return
    if {"state", "param_groups"} <= held.keys():
        return
    if _is_tree(held):
        yield Part(".".join(path), dict(_leaves(held)))
        return
    tensors = {k: _tensor(v) for k, v in held.items() if isinstance(k, str) and _is_tensor(v)}
    if tensors:
        yield Part(".".join(path), tensors)
    for key, inner in held.items():
        if isinstance(key, str):
            yield from _groups(inner, (*path, key), seen)


def _is_tensor(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "biuf"
    return isinstance(value, torch.Tensor)


def _tensor(value: Any) -> torch.Tensor:
    if isinstance(value, torch.Tensor):
        return value
    # Of another byte order, or not writable: torch takes neither.
    return torch.from_numpy(np.array(value, dtype=value.dtype.newbyteorder("=")))


def _is_tree(held: Mapping[Any, Any]) -> bool:
    """Whether this is one network whose parts are mappings in mappings, with tensors as leaves.

    Two networks that are alike, such as a student and its teacher, are no parts of one.
    """
    inner = [v for v in held.values() if isinstance(v, Mapping)]
    if any(key in USUAL or is_averaged(str(key)) for key in held):
        return False
    if len(inner) < 2 or not _is_plain_tree(held, set()):
        return False
    shapes = [{k: tuple(v.shape) for k, v in _leaves(item)} for item in inner]
    return not all(found == shapes[0] for found in shapes)


def _is_plain_tree(held: Any, seen: set[int], depth: int = 0) -> bool:
    if not isinstance(held, Mapping):
        return _is_tensor(held)
    if id(held) in seen or depth > DEEPEST:
        return False
    seen.add(id(held))
    return all(
        isinstance(k, str) and "." not in k and _is_plain_tree(v, seen, depth + 1)
        for k, v in held.items()
    )


def _leaves(held: Mapping[str, Any], start: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    for key, value in held.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{start}{key}.")
        else:
            yield f"{start}{key}", _tensor(value)


# -- which of them


def chosen(
    parts: Sequence[Part],
    wanted: str | int | None,
    source: str,
    fits: Callable[[Weights], bool] | None = None,
) -> Part:
    """The part that is asked for; unasked, the one that there is, or that it can only be.

    **Arguments:**

    - `wanted`: a part's number from 0, its name, the end of its name, or a prefix of the names of
      weights in one; None for the only one, for that beside its running average, for the one
      under a usual name, and for the only one that `fits`.

    **Raises:** `CheckpointError` that names the parts, where there is none such or no saying.
    """
    if wanted is not None:
        return _named(parts, str(wanted), source)
    plain = [p for p in parts if not is_averaged(p.name)] or list(parts)
    usual = [p for p in plain if _rank(p) == _rank(plain[0])]
    if len(plain) == 1 or (len(usual) == 1 and _rank(plain[0]) < len(USUAL)):
        return _told(plain[0], parts)
    if fits is not None:
        fitting = [p for p in plain if fits(p.weights)]
        if not fitting and fits((together := _together(plain)).weights):
            fitting = [together]
        if len(fitting) == 1:
            return _told(fitting[0], parts, "the only one that fits")
    names = [f"'{p.name}'" for p in plain]
    raise CheckpointError(
        f"{source} holds {len(plain)} networks: {_listed(names)}. Say which one with --part and "
        f"its name or its number from 0, or as FILE::PART (in Python, part=)."
    )


def _told(part: Part, parts: Sequence[Part], why: str = "") -> Part:
    others = [p.name for p in parts if p is not part]
    if not others or part.name == ALL:
        return part
    because = f", {why}" if why else ""
    step = f"took '{part.name}'{because}; also there, with --part: {shown(others)}"
    return replace(part, steps=(*part.steps, step))


ALL = "all parts together"


def _together(parts: Sequence[Part]) -> Part:
    """All parts as those of one network, which was saved part by part."""
    weights = {f"{p.name}.{k}": v for p in parts for k, v in p.weights.items()}
    return Part(ALL, weights, (f"took {shown(p.name for p in parts)} as parts of one network",))


def _named(parts: Sequence[Part], wanted: str, source: str) -> Part:
    exact = [p for p in parts if p.name == wanted]
    ending = [p for p in parts if p.name.endswith(f".{wanted}")]
    if not exact and wanted.isdigit():
        if int(wanted) < len(parts):
            return parts[int(wanted)]
    elif len(found := exact or ending) == 1:
        return found[0]
    for part in parts:
        if inner := part_of(part.weights, wanted):
            return Part(f"{part.name}.{wanted}".lstrip("."), inner, (f"took '{wanted}.*'",))
    names = [p.name for p in parts if p.name]
    known = f": {_listed([repr(name) for name in names])}" if names else ""
    raise CheckpointError(
        f"{source} has no part {wanted}. {did_you_mean(wanted, names)}It holds {len(parts)} "
        f"network(s){known}. Name one of them with --part (in Python, part=), or leave it out."
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SEVERAL} more" if len(names) > SEVERAL else ""
    return ", ".join(n if len(n) <= 42 else f"{n[:38]}…'" for n in names[:SEVERAL]) + more
