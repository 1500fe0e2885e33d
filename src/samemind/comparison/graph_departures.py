"""Where a network parts from a graph that shows what its operations gave, and not what they read.

A graph of ONNX has other operations than the network that it was made of has layers: what lies
between layers is an operation of its own, and a normalisation is folded into the convolution before
it. So nothing is matched by name: an operation belongs to the layer that gives the same numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from samemind.comparison.departures import (
    GIVES,
    READS,
    Departure,
    Event,
    Matched,
    Walked,
    apart,
    merged,
)
from samemind.extraction.traces import OUTPUT, Call
from samemind.statistics.fidelity import NONE, Difference

if TYPE_CHECKING:
    from torch import Tensor

FOLDED = ("BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "FrozenBatchNorm2d", "BatchNormAct2d")


def is_graph(calls: Sequence[Call]) -> bool:
    """Whether calls are of a graph: none says what it read."""
    return len(calls) > 1 and all(call.reads is None for call in calls)


def departure_from_graph(
    first: Sequence[Call],
    second: Sequence[Call],
    floors: tuple[Mapping[Event, Difference], Mapping[Event, Difference]],
) -> Walked:
    """Where a network and a graph part first; either may be the first of the two.

    It is the first layer after the last one whose output the graph has, that reads what the graph
    has and gives what it has not. A layer whose output the graph lacks, but which is followed by
    one whose output it has, was made one operation with that.
    """
    if not is_graph(first):
        return _walked(first, second, floors)
    turned = _walked(second, first, (floors[1], floors[0]))
    places = {b: a for a, b in turned.pairs.places.items()}
    pairs = Matched(places, turned.pairs.by)
    there = {a: b for b, a in places.items()}
    found = {(there[a], side): one for (a, side), one in turned.differences.items() if a in there}
    departure = turned.departure
    if departure is not None:
        names = {c.name: first[b].name for a, b in there.items() for c in [second[a]]}
        departure = replace(
            departure,
            layer=departure.layer_b or names.get(departure.layer, OUTPUT),
            layer_b=departure.layer,
            after=names.get(departure.after, ""),
        )
    return Walked(departure, pairs, found, merged(*floors, pairs))


def _walked(
    first: Sequence[Call],
    graph: Sequence[Call],
    floors: tuple[Mapping[Event, Difference], Mapping[Event, Difference]],
) -> Walked:
    places = _equal(first, graph, floors[0])
    last_equal = max(places, default=-1)
    output = len(first) - 1, len(graph) - 1
    end = apart(first[-1].gives, graph[-1].gives)
    floor = floors[0].get((output[0], GIVES), NONE)
    floor = floor.or_larger(floors[1].get((output[1], GIVES), NONE))
    departure = None
    if end.is_beyond(floor):
        at, side = _first_apart(first, graph, floors[0], last_equal)
        after = first[last_equal].name if last_equal >= 0 else ""
        partner = _next_of_its_size(first[at], graph, places.get(last_equal, -1))
        whole = at + 1 if _is_folded(first, at) else at
        found = end if partner is None else apart(first[whole].gives, graph[partner].gives)
        departure = Departure(
            layer=first[at].name,
            layer_b="" if partner is None else graph[partner].name,
            after=after,
            found_by="outputs",
            difference=found,
            floor=floors[0].get((whole, GIVES), NONE),
            why=_why(first, at, side),
        )
        if partner is not None:
            places[whole] = partner
    places[output[0]] = output[1]
    pairs = Matched(places, "outputs")
    differences = {(a, GIVES): apart(first[a].gives, graph[b].gives) for a, b in places.items()}
    return Walked(departure, pairs, differences, merged(*floors, pairs))


def _equal(
    first: Sequence[Call], graph: Sequence[Call], floors: Mapping[Event, Difference]
) -> dict[int, int]:
    """For each layer the operation that gives the same, both in their order."""
    found: dict[int, int] = {}
    least = 0
    for place, call in enumerate(first[:-1]):
        floor = floors.get((place, GIVES), NONE)
        other = _place_of(call.gives, graph, floor, least)
        if other is not None:
            found[place] = least = other
    return found


def _place_of(
    values: Tensor | None, graph: Sequence[Call], floor: Difference, least: int = 0
) -> int | None:
    """The first operation from a place on that gives these numbers, up to rounding."""
    for place in range(least, len(graph)):
        gives = graph[place].gives
        if values is None or gives is None or values.numel() != gives.numel():
            continue
        if len(values) == len(gives) and not apart(values, gives).is_beyond(floor):
            return place
    return None


def _first_apart(
    first: Sequence[Call],
    graph: Sequence[Call],
    floors: Mapping[Event, Difference],
    last_equal: int,
) -> tuple[int, str]:
    """The layer that is no longer the same, and whether by what it gives or reads already."""
    for place in range(last_equal + 1, len(first) - 1):
        if place == 0 or place == len(first) - 1:  # what the graph itself reads is not shown
            return place, GIVES
        read = first[place].reads
        if _place_of(read, graph, floors.get((place, READS), NONE)) is not None:
            return place, GIVES
        if place == last_equal + 1:
            return place, READS
    return len(first) - 1, GIVES


def _next_of_its_size(call: Call, graph: Sequence[Call], last: int) -> int | None:
    wanted = None if call.gives is None else call.gives.numel()
    for place in range(last + 1, len(graph)):
        gives = graph[place].gives
        if gives is not None and gives.numel() == wanted and graph[place].kind in SAME[call.kind]:
            return place
    return None


class _Kinds(dict[str, tuple[str, ...]]):
    def __missing__(self, kind: str) -> tuple[str, ...]:
        if kind.startswith("Conv"):
            return "Conv", "ConvTranspose"
        if "Linear" in kind:
            return "Gemm", "MatMul", "Add", ""
        return (kind.removesuffix("1d").removesuffix("2d"), "")


SAME = _Kinds(
    ReLU=("Relu",),
    GELU=("Gelu", "Mul"),
    LayerNorm=("LayerNormalization", "Add"),
    BatchNorm2d=("BatchNormalization", "Conv"),
    BatchNorm1d=("BatchNormalization", "Gemm"),
)
"""Kinds of layers, and the operations of ONNX that do the same; '' is the output."""


def _why(first: Sequence[Call], at: int, side: str) -> str:
    if side == READS:
        return "it reads something else already, so the code before it is not the same"
    return f"it and {first[at + 1].name} are one operation there" if _is_folded(first, at) else ""


def _is_folded(first: Sequence[Call], at: int) -> bool:
    """Whether a layer is a convolution or linear layer with a normalisation right after it."""
    if at + 1 >= len(first) or first[at].kind in FOLDED:
        return False
    return first[at + 1].kind in FOLDED
