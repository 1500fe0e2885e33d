"""The first layer at which two networks part: their layers matched, and walked through in order."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from samemind.comparison.layer_changes import what_changed
from samemind.extraction.traces import OUTPUT, Call
from samemind.statistics.fidelity import NONE, Difference, difference

if TYPE_CHECKING:
    from torch import Tensor, nn

INPUTS = "the inputs"
READS, GIVES = "reads", "gives"
FEW_MATCHED = 0.1  # of the layers: then outputs tell which belong together
Event = tuple[int, str]  # a call of the first network by its place, and which side of it


@dataclass(frozen=True, kw_only=True)
class Departure:
    """Where two networks part first.

    - `layer`: of the first network; "the inputs" where its first layer is given something else.
      `layer_b`: of the second one, "" where it has no counterpart.
    - `after`: the last layer whose outputs are equal up to rounding, "" if none is.
    - `found_by`: how layers were matched: "name", "order" or "outputs".
    - `difference`, `floor`: there, and what rounding makes of it.
    - `why`: what is seen to differ in the layer itself, "" if nothing.
    """

    layer: str
    layer_b: str
    after: str
    found_by: str
    difference: Difference
    floor: Difference
    why: str = ""


@dataclass(frozen=True, eq=False)
class Matched:
    """Which call of the second network belongs to which of the first one's, by their places."""

    places: Mapping[int, int]
    by: str


@dataclass(frozen=True, eq=False)
class Walked:
    """Two networks walked through: where they part, what belongs together, all differences."""

    departure: Departure | None
    pairs: Matched
    differences: Mapping[Event, Difference]
    floors: Mapping[Event, Difference]


def matched(first: Sequence[Call], second: Sequence[Call]) -> Matched:
    """Calls that belong together: by name, or by order where that brings more of them together.

    A match by name has an output of the same shape. By order, types and shapes of outputs line up.
    The outputs of both networks always belong together.
    """
    by_name = {call.name: place for place, call in enumerate(second)}
    named = {
        place: by_name[call.name]
        for place, call in enumerate(first)
        if call.name in by_name and _shape(call) == _shape(second[by_name[call.name]])
    }
    alike = sum(_token(first[a]) == _token(second[b]) for a, b in named.items())
    blocks = SequenceMatcher(
        None, [_token(c) for c in first[:-1]], [_token(c) for c in second[:-1]], autojunk=False
    ).get_matching_blocks()
    if alike - 1 >= sum(block.size for block in blocks):
        return Matched(named, "name")
    ordered = {b.a + i: b.b + i for b in blocks for i in range(b.size)}
    return Matched(ordered | {len(first) - 1: len(second) - 1}, "order")


def matched_by_outputs(
    first: Sequence[Call], second: Sequence[Call], floors: Mapping[Event, Difference]
) -> Matched:
    """Calls whose outputs are equal up to rounding: for networks that share neither names nor form.

    Each call of the first network takes the nearest output of as many numbers; equal ones only.
    """
    places = {}
    for place, call in enumerate(first[:-1]):
        near = None
        for other, candidate in enumerate(second[:-1]):
            if call.gives is None or candidate.gives is None:
                continue
            if _numbers(call.gives) != _numbers(candidate.gives):
                continue
            found = apart(call.gives, candidate.gives)
            if near is None or found.typical < near[0].typical:
                near = found, other
        if near is not None and not near[0].is_beyond(floors.get((place, GIVES), NONE)):
            places[place] = near[1]
    return Matched(places | {len(first) - 1: len(second) - 1}, "outputs")


def _numbers(values: Tensor) -> tuple[int, int]:
    return values.shape[0], values.numel()


def _shape(call: Call) -> tuple[int, ...]:
    return () if call.gives is None else tuple(call.gives.shape)


def _token(call: Call) -> tuple[str, tuple[int, ...]]:
    """What a layer is, whatever it is made of: a dynamically quantised Linear is a Linear."""
    return re.sub("Dynamic|Quantized|QAT|Act2d$", "", call.kind), _shape(call)


def apart(one: Tensor | None, other: Tensor | None) -> Difference:
    """How far two tensors of as many numbers are apart; infinitely, of other numbers of them."""
    if one is None and other is None:
        return NONE
    if one is None or other is None or one.numel() != other.numel():
        return Difference(float("inf"), float("inf"), 0.0)
    return difference(one.reshape(-1), other.reshape(-1))


def differences(
    first: Sequence[Call], second: Sequence[Call], places: Mapping[int, int]
) -> dict[Event, Difference]:
    """For every matched call, how far what it reads and gives is apart."""
    found = {}
    for a, b in sorted(places.items()):
        if first[a].name != OUTPUT:
            found[a, READS] = apart(first[a].reads, second[b].reads)
        found[a, GIVES] = apart(first[a].gives, second[b].gives)
    return found


def merged(
    first: Mapping[Event, Difference], second: Mapping[Event, Difference], pairs: Matched
) -> dict[Event, Difference]:
    """The floors of both networks at the events of the first one: the larger of each."""
    both = dict(first)
    for a, b in pairs.places.items():
        for side in (READS, GIVES):
            if (b, side) in second:
                other = second[b, side]
                both[a, side] = both.get((a, side), other).or_larger(other)
    return both


def first_departure(
    first: Sequence[Call],
    second: Sequence[Call],
    floors: tuple[Mapping[Event, Difference], Mapping[Event, Difference]],
    networks: tuple[nn.Module, nn.Module] | None = None,
) -> Walked:
    """Where the second network first gives something else than rounding explains.

    **Arguments:**

    - `floors`: what rounding makes of each event of either network.
    - `networks`: both, for what is seen to differ in the layer.
    """
    from samemind.comparison.graph_departures import departure_from_graph, is_graph

    if is_graph(first) != is_graph(second) and len(first) > 1 < len(second):
        return departure_from_graph(first, second, floors)
    pairs = matched(first, second)
    if len(pairs.places) <= max(1, FEW_MATCHED * len(first)) and len(second) > 1:
        pairs = matched_by_outputs(first, second, floors[0])
    found, allowed = differences(first, second, pairs.places), merged(*floors, pairs)
    departure = _departure(first, second, pairs, found, allowed, networks)
    return Walked(departure, pairs, found, allowed)


def _departure(
    first: Sequence[Call],
    second: Sequence[Call],
    pairs: Matched,
    found: Mapping[Event, Difference],
    floors: Mapping[Event, Difference],
    networks: tuple[nn.Module, nn.Module] | None,
) -> Departure | None:
    equal: list[int] = []
    theirs = set(pairs.places.values())
    for place, side in sorted(found, key=lambda event: (event[0], event[1] == GIVES)):
        apart, floor = found[place, side], floors.get((place, side), NONE)
        if apart.is_beyond(floor):
            layer, layer_b = _named(first, second, pairs, place, side, equal)
            is_extra = layer_b in {c.name for i, c in enumerate(second) if i not in theirs}
            why = what_changed(layer, layer_b, networks, is_extra=is_extra) if networks else ""
            return Departure(
                layer=layer, layer_b=layer_b, found_by=pairs.by,
                after=first[equal[-1]].name if equal else "",
                difference=apart, floor=floor, why=why,
            )  # fmt: skip
        if side == GIVES:
            equal.append(place)
    return None


def _named(
    first: Sequence[Call],
    second: Sequence[Call],
    pairs: Matched,
    place: int,
    side: str,
    equal: Sequence[int],
) -> tuple[str, str]:
    """The names, in both networks, of the layer to which a departure is owed."""
    last = equal[-1] if equal else -1
    lone = [p for p in range(last + 1, place) if p not in pairs.places]
    if side == READS or first[place].name == OUTPUT or pairs.by == "outputs":
        # Something between two layers: one without counterpart, or code around them.
        if lone:
            return first[lone[0]].name, ""
        here, before = pairs.places[place], pairs.places.get(last, -1)
        extra = [b for b in range(before + 1, here) if b not in pairs.places.values()]
        if extra:
            return first[last].name if last >= 0 else INPUTS, second[extra[0]].name
        if last < 0 and place == min(pairs.places):
            return INPUTS, INPUTS
    return first[place].name, second[pairs.places[place]].name
