"""What rounding makes of a network, measured on the spot: the same network, computed otherwise."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from samemind.comparison.departures import GIVES, READS, Event
from samemind.extraction.traces import Call, plain, trace
from samemind.lazy import torch
from samemind.statistics.fidelity import Difference, difference, rounding_of

if TYPE_CHECKING:
    from torch import Tensor, nn

    from samemind.classifier import Classifier

HALVES = ("bfloat16", "float16")
BATCHES = (1, 3)  # other batch sizes; a third is of the images that are left
THREADS = 2  # another number of them


@dataclass(frozen=True, eq=False)
class Traced:
    """A network's calls on some images, what rounding makes of each, and how that was measured."""

    calls: list[Call]
    floors: dict[Event, Difference]
    ways: tuple[str, ...]


@dataclass(frozen=True)
class Precision:
    """Of the numbers that a network is made of: how exact they are, and how they are computed."""

    held: torch.dtype
    computed: torch.dtype


def precision(network: nn.Module) -> Precision:
    """The type of a network's weights, and the coarsest one that holds every weight exactly.

    What was cast to half precision and back is as exact as half precision.
    """
    weights = [p.detach() for p in network.parameters() if p.is_floating_point()]
    if not weights:
        return Precision(torch.float32, torch.float32)
    computed = min((w.dtype for w in weights), key=lambda t: -torch.finfo(t).eps)
    if computed.itemsize <= 2:
        return Precision(computed, computed)
    narrower = (torch.float32,) if computed == torch.float64 else ()
    for held in (*(getattr(torch, name) for name in HALVES), *narrower):
        if all(torch.equal(w, w.to(held).to(w.dtype)) for w in weights):
            return Precision(held, computed)
    return Precision(computed, computed)


def coarser(one: Precision, other: Precision) -> Precision:
    """The less exact of each."""
    return Precision(
        max(one.held, other.held, key=lambda t: torch.finfo(t).eps),
        max(one.computed, other.computed, key=lambda t: torch.finfo(t).eps),
    )


def traced(classifier: Classifier, images: Tensor, coarsest: Precision) -> Traced:
    """What every layer makes of the images, and how far rounding moves it.

    The same network is run once more, one image and three images at a time, in another memory
    format, with another number of threads, in float64, and rounded to `coarsest`: the largest
    difference of each layer is its floor. Where a copy cannot be made or cast, the floor is at
    least one rounding of what the layer gives.

    **Arguments:** `images`: (N, …), few; as the classifier is given them.

    **Cost:** nine passes and one or two copies of the network; memory for what all layers read
    and give, three times.
    """
    calls = run(classifier, images)
    floors: dict[Event, Difference] = {}
    ways: list[str] = []
    for way, others in _otherwise(classifier, images):
        if _add(floors, calls, others):
            ways.append(way)
    wide = images.double() if images.is_floating_point() else images
    exact = _attempt(lambda: run(copy.deepcopy(classifier).double(), wide))
    if exact and _add(floors, calls, exact):
        ways.append("in float64")
    else:
        _add_single(floors, calls, coarsest)
        ways.append("one rounding of what each layer gives")
    own = precision(classifier.network)
    if exact and coarser(own, coarsest) != own:
        rounded = _attempt(lambda: run(_rounded(classifier, own, coarsest), images))
        if rounded and _add(floors, exact, rounded):
            ways.append(f"rounded to {str(coarsest.held).removeprefix('torch.')}")
    return Traced(calls, floors, tuple(ways))


def run(classifier: Classifier, images: Tensor) -> list[Call]:
    """The calls of a classifier's network; the output is its logits, or the representation of one
    that has none."""

    def forward(pixels: Tensor) -> Tensor:
        said = classifier(pixels)
        return said.logits if said.logits.shape[1] else said.representation

    return trace(plain(classifier.network), images, forward)


def _otherwise(classifier: Classifier, images: Tensor) -> Iterator[tuple[str, list[Call]]]:
    """The same network computed in other ways, which change nothing but the order of sums."""
    yield "once more", run(classifier, images)
    if len(images) > sum(BATCHES):
        sizes = [*BATCHES, len(images) - sum(BATCHES)]
        parts = _attempt(lambda: _joined([run(classifier, batch) for batch in images.split(sizes)]))
        yield f"in batches of {', '.join(map(str, BATCHES))} and more", parts
    if images.ndim == 4:
        yield "channels last", _attempt(lambda: _channels_last(classifier, images))
    if images.device.type == "cpu":
        with _threads(THREADS if torch.get_num_threads() != THREADS else 1) as n:
            yield f"with {n} thread{'s' if n > 1 else ''}", run(classifier, images)


def _channels_last(classifier: Classifier, images: Tensor) -> list[Call]:
    form, made = torch.channels_last, copy.deepcopy(classifier)
    made.network.to(memory_format=form)  # pyright: ignore[reportCallIssue]
    return run(made, images.contiguous(memory_format=form))


@contextmanager
def _threads(n: int) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield n
    finally:
        torch.set_num_threads(before)


def _rounded(classifier: Classifier, own: Precision, coarsest: Precision) -> Classifier:
    made = copy.deepcopy(classifier)
    with torch.no_grad():
        for values in [*made.network.parameters(), *made.network.buffers()]:
            if values.is_floating_point():
                values.copy_(values.to(coarsest.held))
    if coarsest.computed != own.computed:
        made.network.to(coarsest.computed)
    return made


def _attempt(do: Callable[[], list[Call]]) -> list[Call]:
    """What it returns; nothing for a network that cannot be copied, cast or run so."""
    try:
        return do()
    except Exception:  # whatever a network of someone else's raises: the way is left out, and told
        return []


def _joined(parts: Sequence[Sequence[Call]]) -> list[Call]:
    """The calls on all images from those on some at a time; empty where they do not line up."""
    if len({tuple(c.name for c in calls) for calls in parts}) > 1:
        return []
    joined = []
    for same in zip(*parts, strict=True):
        reads, gives = ([getattr(c, side) for c in same] for side in (READS, GIVES))
        joined.append(Call(same[0].name, same[0].kind, _together(reads), _together(gives)))
    return joined


def _together(values: Sequence[Tensor | None]) -> Tensor | None:
    """Joined along the axis of the inputs: the first, unless batches of other lengths tell."""
    found = [v for v in values if v is not None]
    if len(found) < len(values) or not found[0].ndim:
        return None
    sizes = [tuple(v.shape) for v in found]
    uneven = [i for i, axis in enumerate(zip(*sizes, strict=False)) if len(set(axis)) > 1]
    try:
        return torch.cat(found, dim=uneven[0] if len(uneven) == 1 else 0)
    except RuntimeError:
        return None


def _add(floors: dict[Event, Difference], calls: Sequence[Call], others: Sequence[Call]) -> bool:
    """Widens the floors by the differences of two runs, if their calls are the same ones."""
    if [c.name for c in calls] != [c.name for c in others]:
        return False
    for place, (one, other) in enumerate(zip(calls, others, strict=True)):
        for side in (READS, GIVES):
            first, second = getattr(one, side), getattr(other, side)
            if first is None or second is None or first.shape != second.shape:
                continue
            found = difference(first, second)
            before = floors.get((place, side), found)
            floors[place, side] = before.or_larger(found)
    return True


def _add_single(
    floors: dict[Event, Difference], calls: Sequence[Call], coarsest: Precision
) -> None:
    for place, call in enumerate(calls):
        for side in (READS, GIVES):
            values = getattr(call, side)
            if values is not None and values.numel():
                found = rounding_of(values, coarsest.computed)
                floors[place, side] = floors.get((place, side), found).or_larger(found)
