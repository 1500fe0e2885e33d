"""Is it still the same network? Two models on the same inputs: how far apart, and from where on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from samemind.comparison.departures import (
    GIVES,
    INPUTS,
    Departure,
    Walked,
    first_departure,
)
from samemind.comparison.preprocessings import Change, explanation
from samemind.comparison.rounding import Traced, coarser, precision, traced
from samemind.extraction.looking import pixels_for
from samemind.extraction.traces import Call, plain, trace
from samemind.lazy import pd, torch
from samemind.sides.nearness import first_neighbours
from samemind.statistics.fidelity import (
    ANSWERS,
    BEYOND,
    BITS,
    CHANGED,
    LEVELS,
    NONE,
    ROUNDING,
    Difference,
    Kept,
    difference,
    level_of,
)

if TYPE_CHECKING:
    from torch import Tensor

    from samemind.execution.devices import Execution
    from samemind.inputs.images import Images
    from samemind.networks.model import Model
    from samemind.sides.side import Side

MOST_TRACED = 32  # inputs whose layers are compared
MOST_PREPARED = 8  # inputs that other preprocessings are tried on
MOST_NUMBERS = 2**25  # that the layers of one network may give on them
NO_LAYERS = (
    "No layers were compared and no rounding was measured: that is done where an input is one "
    "tensor."
)
APART = (
    "Their parameters have other shapes and their outputs little in common, so no layers were "
    "compared and no rounding was measured."
)
#: Networks of other parameters are looked into only if their outputs are nearer than this share.
NEAR = 0.5


@dataclass(frozen=True, kw_only=True, eq=False)
class Fidelity:
    """Whether model `b` is still model `a`, on N inputs.

    - `level`: the strictest of `LEVELS` that holds on these inputs, with at most `tolerance` of the
      answers changed under "the same answers".
    - `difference`: of the outputs, in their own units; `floor`: what rounding makes of them.
    - `n_beyond`: inputs whose outputs differ by more than rounding explains.
    - `kept`: what is asked to stay: decisions, or of encoders first neighbours. `neighbours`: the
      first neighbours of the representation, of classifiers too.
    - `departure`: the first layer that differs by more than rounding; None where none does, or
      none was looked for, which `notes` then says.
    - `layers`: a row per matched layer, in order: its difference and its floor.
    - `hint`: the preprocessing that explains the difference, "" if none does.
    - `ways`: how the floor was measured.
    """

    a: str
    b: str
    level: str
    tolerance: float
    n_inputs: int
    difference: Difference
    floor: Difference
    n_beyond: int
    kept: Kept
    neighbours: Kept | None = None
    departure: Departure | None = None
    layers: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(LAYER_COLUMNS)))
    hint: str = ""
    ways: Sequence[str] = ()
    notes: Sequence[str] = ()

    @property
    def inputs(self) -> str:
        """What is counted: inputs, or the tokens of texts."""
        return "tokens" if self.kept.what == "next token" else "inputs"

    def is_at_least(self, level: str) -> bool:
        """Whether it is this level or a stricter one."""
        return LEVELS.index(self.level) <= LEVELS.index(level)

    def failing(self, level: str) -> int:
        """How many inputs do not keep what a level promises of each."""
        if level == BITS:
            return 0 if self.level == BITS else self.n_inputs
        return {ROUNDING: self.n_beyond, ANSWERS: self.kept.changed, CHANGED: 0}[level]

    @property
    def sentences(self) -> list[str]:
        """The verdict, and what it rests on."""
        return [_verdict(self), *_numbers(self), *filter(None, [self.hint]), *self.notes]

    def __str__(self) -> str:
        return "\n".join(self.sentences)

    @property
    def row(self) -> dict[str, Any]:
        """The row of the table `fidelity`."""
        low, high = self.kept.interval
        found = self.departure
        return {
            "model_a": self.a, "model_b": self.b, "level": self.level,
            "tolerance": self.tolerance, "n_inputs": self.n_inputs,
            "typical": self.difference.typical, "largest": self.difference.largest,
            "share": self.difference.share, "floor_typical": self.floor.typical,
            "floor_largest": self.floor.largest, "beyond_rounding": self.n_beyond,
            "kept": self.kept.what, "changed": self.kept.changed, "lower": low, "upper": high,
            "neighbours_changed": self.neighbours.changed if self.neighbours else None,
            "departs_at": found.layer if found else "", "departs_at_b": found.layer_b if found
            else "", "equal_up_to": found.after if found else "", "found_by": found.found_by
            if found else "", "why": found.why if found else "", "hint": self.hint,
            "verdict": _verdict(self),
        }  # fmt: skip

    def as_record(self) -> dict[str, Any]:
        """Everything as plain data, for JSON."""
        plain_row = {k: None if v != v else v for k, v in self.row.items()}
        return plain_row | {
            "layers": self.layers.to_dict("records"),
            "ways": list(self.ways),
            "notes": list(self.notes),
        }


LAYER_COLUMNS = ("layer_a", "layer_b", "kind", "typical", "largest", "floor", "departs")


def _verdict(f: Fidelity) -> str:
    what = f"{f.kept.what}s"
    low, high = (f"{100 * end:.2g} %" for end in f.kept.interval)
    said = {
        BITS: f"Identical bits: {f.b} gives what {f.a} gives, on all {f.n_inputs:,} {f.inputs}.",
        ROUNDING: (
            f"Equal up to rounding: on all {f.n_inputs:,} {f.inputs} {f.b} differs from {f.a} by "
            f"no more than {_rounding(f)}."
        ),
        ANSWERS: (
            f"The same answers: of {f.kept.n_inputs:,} {what} {f.kept.changed:,} change where "
            f"{f.b} takes the place of {f.a}; with 95 % confidence at most {high} of such inputs "
            f"do."
        ),
        CHANGED: (
            f"Changed: {f.kept.changed:,} of {f.kept.n_inputs:,} {what} change where {f.b} takes "
            f"the place of {f.a} (95 % interval {low} to {high})."
        ),
    }
    return said[f.level]


def _rounding(f: Fidelity) -> str:
    """What makes the floor, in words."""
    only = f.ways[0] if len(f.ways) == 1 else ""
    is_given = only.startswith("one rounding to")
    return f"{only} makes" if is_given else f"computing {f.a} otherwise does"


def _numbers(f: Fidelity) -> list[str]:
    told = []
    if f.level != BITS:
        told.append(
            f"Outputs differ by {f.difference.typical:.2g} typically "
            f"({100 * f.difference.share:.2g} % of their size) and by "
            f"{f.difference.largest:.2g} at most"
            + (f"; rounding makes {f.floor.typical:.1g}" if f.ways else "")
            + (
                f", and {f.n_beyond:,} {f.inputs} differ by more than it does."
                if f.ways and f.level != ROUNDING
                else "."
            )
        )
    if f.neighbours is not None and f.neighbours is not f.kept:
        n = f.neighbours
        told.append(f"Of {n.n_inputs:,} first neighbours {n.n_inputs - n.changed:,} are kept.")
    if f.departure is not None:
        told.append(_where(f.departure))
    return told


def _where(d: Departure) -> str:
    if d.layer == INPUTS:
        return "They part before the first layer: it is given something else."
    other = f" ({d.layer_b} there)" if d.layer_b not in ("", d.layer) else ""
    after = f"; up to {d.after} they are equal up to rounding" if d.after else ""
    why = f": {d.why}" if d.why else ""
    share = "" if d.difference.share > 1e3 else f" by {100 * d.difference.share:.2g} %"
    return f"They part at {d.layer}{other}{share}{why}{after} (layers matched by {d.found_by})."


# -- pure


def outputs_apart(a: Tensor, b: Tensor, floor: Difference) -> tuple[Difference, int]:
    """How far outputs (N, C) are apart, and how many inputs are so by more than rounding."""
    return difference(a, b), int(beyond_rounding(a, b, floor).sum())


def beyond_rounding(a: Tensor, b: Tensor, floor: Difference) -> Tensor:
    """Of which inputs the outputs (N, C) differ by more than rounding makes of them, `(N,)`."""
    each = torch.where(a == b, 0.0, a.double() - b.double()).abs()
    typical, largest = each.square().mean(1).sqrt(), each.amax(1)
    return ~((typical <= BEYOND * floor.typical) & (largest <= BEYOND * floor.largest))


def kept_of(a: Side, b: Side) -> tuple[Kept, Kept | None]:
    """The decisions that change, or of models without any the first neighbours; and the latter."""
    neighbours = None
    if a.has_representation and b.has_representation and a.n_inputs > 2:
        one, other = (first_neighbours(side.representation) for side in (a, b))
        changed = int((one != other).sum())
        neighbours = Kept(what="first neighbour", n_inputs=a.n_inputs, changed=changed)
    if a.has_logits and b.has_logits:
        changed = int((a.predictions != b.predictions).sum())
        return Kept(what="decision", n_inputs=a.n_inputs, changed=changed), neighbours
    assert neighbours is not None
    return neighbours, neighbours


# -- networks


def fidelity_of(
    a: Model,
    b: Model,
    sides: tuple[Side, Side],
    images: Images,
    execution: Execution,
    *,
    tolerance: float = 0.0,
    always: bool = True,
    known: Mapping[str, Any] | None = None,
) -> Fidelity | None:
    """Whether model `b` is still model `a`.

    **Arguments:**

    - `sides`: what each says of the images.
    - `tolerance`: the share of answers that may change under "the same answers".
    - `always`: whether networks are looked into that have nothing in common.
    - `known`: what `looked_into` returned, where that was asked already.

    **Returns:** None where their outputs have other shapes.

    **Cost:** beside the outputs that are there, about twenty passes of at most 32 inputs, and a
    copy of each network at a time.
    """
    one, other = map(output_of, sides)
    if one.shape != other.shape or one.shape[1] == 0:
        return None
    kept, neighbours = kept_of(*sides)
    is_same = torch.equal(one, other)
    share = difference(one, other).share
    if known is None:
        known = {"floor": NONE, "notes": (APART,)}
        if always or is_same or share <= NEAR or _have_equal_parameters(a, b):
            apart = (one.double() - other.double()).abs().amax(1).cpu().numpy()
            known = looked_into(a, b, images, execution, apart=apart)
    apart, n_beyond = outputs_apart(one, other, known["floor"])
    level = level_of(
        has_equal_bits=is_same,
        is_within_rounding=bool(known.get("ways")) and not n_beyond,
        kept=kept,
        tolerance=tolerance,
    )
    return Fidelity(
        a=a.name, b=b.name, level=level, tolerance=tolerance, n_inputs=len(one),
        difference=apart, n_beyond=n_beyond, kept=kept, neighbours=neighbours, **known,
    )  # fmt: skip


def output_of(side: Side) -> Tensor:
    """What is compared of a side: its logits, or the representation of one without any."""
    return side.logits if side.has_logits and not side.has_only_decisions else side.representation


def fidelity_tables(found: Sequence[Fidelity]) -> dict[str, pd.DataFrame]:
    """The tables `fidelity` and `fidelity_layers` of all replacements under each other."""
    if not found:
        return {}
    layers = [f.layers.assign(model_a=f.a, model_b=f.b) for f in found]
    return {
        "fidelity": pd.DataFrame([f.row for f in found]),
        "fidelity_layers": pd.concat(layers, ignore_index=True),
    }


def _have_equal_parameters(a: Model, b: Model) -> bool:
    one, other = (sorted(tuple(p.shape) for p in m.classifier.network.parameters()) for m in (a, b))
    return bool(one) and one == other


def looked_into(
    a: Model,
    b: Model,
    images: Images,
    execution: Execution,
    *,
    apart: np.ndarray | None = None,
) -> dict[str, Any]:
    """Floor, layers, the first departure and the hint, from a few inputs: fields of `Fidelity`.

    **Arguments:** `apart`: how far the outputs for each input are apart, where that is known: half
    of the few are those that differ most, for a fault may touch only some.
    """
    device = execution.start()
    if not all(isinstance(pixels_for(m, images, np.arange(1)), torch.Tensor) for m in (a, b)):
        return {"floor": NONE, "notes": (NO_LAYERS,)}
    n = _how_many(a, b, images, device)
    rows = _telling(len(images), n, apart)
    few = tuple(pixels_for(m, images, rows).to(device) for m in (a, b))
    coarsest = coarser(*(precision(plain(m.classifier.network)) for m in (a, b)))
    first, second = (
        _traced_on(m, pixels, coarsest, device) for m, pixels in zip((a, b), few, strict=True)
    )
    networks = plain(a.classifier.network), plain(b.classifier.network)
    walked = first_departure(first.calls, second.calls, (first.floors, second.floors), networks)
    found, last = walked.departure, (len(first.calls) - 1, GIVES)
    notes, hint = [], ""
    if len(second.calls) == 1 or len(first.calls) == 1:
        found = None
        notes.append("No layers were compared: one of the two shows nothing but its outputs.")
    output, floor = walked.differences[last], walked.floors[last]
    if output.is_beyond(floor) and _may_be_preprocessing(first.calls, found):
        hint = _hint(a, b, first, images, rows[:MOST_PREPARED], few[1][:MOST_PREPARED])
    return {
        "floor": floor,
        "departure": found,
        "layers": layer_table(first, second, walked),
        "hint": hint,
        "ways": tuple(dict.fromkeys([*first.ways, *second.ways])),
        "notes": tuple(notes),
    }


def _telling(n_inputs: int, n: int, apart: np.ndarray | None) -> np.ndarray:
    """So many inputs: spread over all, and half of them the farthest apart where that is known."""
    spread = np.linspace(0, n_inputs - 1, n).astype(np.int64)
    if apart is None or n < 4:
        return spread
    far = np.argsort(-np.nan_to_num(apart, nan=np.inf), kind="stable")[: n // 2]
    return np.unique(np.concatenate([spread[::2], far]))


def _traced_on(model: Model, pixels: Tensor, coarsest: Any, device: torch.device) -> Traced:
    from samemind.execution.unchanged import unchanged

    with unchanged(model.classifier):
        model.classifier.to(device).eval()
        return traced(model.classifier, pixels, coarsest)


def _how_many(a: Model, b: Model, images: Images, device: torch.device) -> int:
    """So many inputs that what the layers give of them stays in memory."""
    from samemind.execution.unchanged import unchanged

    most = 1
    for model in (a, b):
        one = pixels_for(model, images, np.arange(1)).to(device)
        with unchanged(model.classifier):
            model.classifier.to(device)
            calls = trace(plain(model.classifier.network), one, model.classifier)
        held = (v.numel() for c in calls for v in (c.reads, c.gives) if v is not None)
        most = max(most, sum(held))
    return min(len(images), MOST_TRACED, max(2, MOST_NUMBERS // most))


def _hint(
    a: Model, b: Model, first: Traced, images: Images, rows: np.ndarray, pixels: Tensor
) -> str:
    from samemind.classifier import outputs

    wanted = first.calls[-1].gives
    if wanted is None or pixels.ndim != 4:
        return ""
    wanted = wanted[: len(rows)]

    def again(changed: Tensor) -> Tensor:
        said = outputs(b.classifier, changed, batch_size=len(changed), device=pixels.device)
        return said.logits if said.logits.shape[1] else said.representation

    def others() -> Iterator[Change]:
        if images.is_folder and (a.image_size, a.crop) != (b.image_size, b.crop):
            yield (
                f"it is given {b.image_size} pixels of a crop of {b.crop:.3g}, the other "
                f"{a.image_size} of {a.crop:.3g}",
                pixels_for(a, images, rows).to(pixels.device),
            )

    reads = next((c.reads for c in first.calls if c.reads is not None), None)
    size = reads.shape[-1] if reads is not None and reads.ndim == 4 else None
    typical = difference(wanted, again(pixels)).typical
    return explanation(wanted, typical, b.classifier, pixels, size=size, run=again, others=others())


def _may_be_preprocessing(calls: Sequence[Call], found: Departure | None) -> bool:
    """Whether they part before the first layer of weights has given the same in both."""
    if found is None or found.layer == INPUTS or not found.after:
        return True
    names = [call.name for call in calls]
    before = calls[: names.index(found.after) + 1]
    return not any(call.kind.startswith(("Conv", "Linear", "Embedding")) for call in before)


def layer_table(first: Traced, second: Traced, walked: Walked) -> pd.DataFrame:
    """A row per matched layer, in order: its difference and its floor."""
    rows = []
    for place, other in sorted(walked.pairs.places.items()):
        call = first.calls[place]
        found, floor = (
            held.get((place, GIVES), NONE) for held in (walked.differences, walked.floors)
        )
        rows.append(
            (call.name, second.calls[other].name, call.kind, found.typical, found.largest,
             floor.typical, found.is_beyond(floor))
        )  # fmt: skip
    return pd.DataFrame(rows, columns=list(LAYER_COLUMNS))
