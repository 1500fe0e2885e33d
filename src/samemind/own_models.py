"""The comparison of one's own models: outputs, scores, and what a swap would change."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from samemind.comparison.flips import (
    flips_between,
    flips_by_class,
    name_in,
    plain_flips,
    thumbnails,
)
from samemind.comparison.pairs import STUDY_MEASURES
from samemind.comparison.table import score_pairs, score_together
from samemind.errors import InvalidInput
from samemind.execution.devices import Execution
from samemind.inputs.images import Images
from samemind.lazy import LazyModule
from samemind.measures.base import Side
from samemind.measures.choosing import check_kinds, chosen_measures
from samemind.measures.kinds import of_kind
from samemind.networks.opening import Model
from samemind.statistics.swaps import Swap, swap

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from samemind.classifier import Output
else:
    pd = LazyModule("pandas")
    torch = LazyModule("torch")

Watch = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class Replacement:
    """What changes where model `b` takes the place of model `a`."""

    a: str
    b: str
    swap: Swap


@dataclass(kw_only=True, eq=False)
class Compared:
    """Everything that a comparison found.

    - `models`: a record per model: name, architecture, parameters, sizes, accuracy.
    - `measures`: those that were computed.
    - `scores`: the tidy table, a row per pair, inputs and measure; those of mechanisms among them.
    - `sets`: a row per inputs and measure of all models together, where one was asked for.
    - `replacements`: of the first model by each other one, where there are labels; `flips` are
      their single inputs, `flip_images` small images of some.
    - `classes`: of the inputs; `class_names`: of the models, which labels are counted in.
    - `notes`: what a reader must know: labels not used, measures left out, random weights.
    """

    name: str
    n_inputs: int
    models: list[dict[str, Any]]
    measures: list[str]
    scores: pd.DataFrame = field(init=False)
    sets: pd.DataFrame | None = None
    replacements: list[Replacement] = field(default_factory=list)
    classes: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)
    probes: pd.DataFrame | None = None
    probe_accuracies: dict[str, float] = field(default_factory=dict)
    layers: pd.DataFrame | None = None
    gallery: list[Any] = field(default_factory=list)
    flips: pd.DataFrame | None = None
    flips_by_class: pd.DataFrame | None = None
    flip_images: dict[int, np.ndarray] = field(default_factory=dict)

    @property
    def architectures(self) -> dict[str, str]:
        """The names of the models in figures: architectures, or their own where two share one."""
        by_name = {m["name"]: m["architecture"] for m in self.models}
        is_unique = len(set(by_name.values())) == len(by_name)
        return by_name if is_unique else {name: name for name in by_name}

    def as_record(self) -> dict[str, Any]:
        """Everything as plain data, for JSON; what is undefined is null."""
        return {
            "inputs": {"name": self.name, "count": self.n_inputs, "classes": list(self.classes)},
            "models": self.models,
            "scores": _plain(self.scores),
            "sets": None if self.sets is None else _plain(self.sets),
            "replacements": [{"a": r.a, "b": r.b} | r.swap.as_record() for r in self.replacements],
            "flips": plain_flips(self.flips),
            "probes": None if self.probes is None else _plain(self.probes),
            "layers": None if self.layers is None else _plain(self.layers),
            "notes": self.notes,
        }


def _plain(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {str(k): None if v is None or v != v else v for k, v in row.items()}
        for row in table.to_dict("records")
    ]


def outputs_of(
    model: Model, images: Images, execution: Execution, watch: Watch | None = None
) -> Output:
    """Logits and representations of all images, on the CPU; one batch in memory at a time."""
    from samemind.classifier import Output, outputs

    device = execution.start()
    classifier = model.classifier.to(device)
    logits, representations = [], []
    for start in range(0, len(images), execution.batch_size):
        positions = np.arange(start, min(start + execution.batch_size, len(images)))
        batch = images.read(
            positions, size=model.image_size, crop=model.crop, channels=model.channels
        )
        found = outputs(classifier, batch, batch_size=len(positions), device=device)
        logits.append(found.logits)
        representations.append(found.representation)
        if watch:
            watch(model.name, int(positions[-1]) + 1, len(images))
    classifier.cpu()
    return Output(torch.cat(logits), torch.cat(representations))


def compare_models(
    models: Sequence[Model],
    images: Images,
    *,
    measures: Sequence[str] | None = None,
    permutations: int = 20,
    execution: Execution | None = None,
    watch: Watch | None = None,
    inverts_later: bool = False,
) -> tuple[Compared, dict[str, Side]]:
    """Every pair of models on the images, all of them together, and what they say of the images.

    **Arguments:**

    - `measures`: names from `samemind list measures`, of any kind.
    - `inverts_later`: `add_inverted` will follow, so that measures of mechanisms may be among them.

    **Raises:** `InvalidInput` for fewer than two models, or measures that cannot be computed;
    `UnknownName` for what is no measure.

    **Cost:** one forward pass per model and image; memory for the outputs of all.
    """
    execution = execution or Execution()
    notes = [f"{m.name}: {m.note}." for m in models if m.note]
    if len(models) < 2:
        raise InvalidInput(
            f"A comparison needs two models or more, but {len(models)} was given. Name another."
        )
    add_inversion = "it needs inverted images. Add --invert N, or leave it out."
    check_kinds(measures, {} if inverts_later else {"mechanism": add_inversion})
    said = {m.name: outputs_of(m, images, execution, watch) for m in models}
    counts = {len(o.logits[0]) for o in said.values()}
    labels, why = images.labels_for(counts.pop()) if len(counts) == 1 else (None, "")
    if why:
        notes.append(f"No accuracies and flips: {why}.")
    sides = {
        name: Side(logits=o.logits, representation=o.representation, labels=labels)
        for name, o in said.items()
    }
    records = [_model_record(m, sides[m.name]) for m in models]
    found = _compare(sides, records, images.name, measures, permutations, notes)
    found.classes = images.classes
    if len(sizes := {side.n_classes for side in sides.values()}) == 1:
        found.class_names = images.class_names(sizes.pop())
    _add_flips(found, sides, name_of=name_in(images))
    if found.flips is not None:
        found.flip_images = thumbnails(found.flips, images, models[0])
    return found, sides


def compare_activations(
    arrays: Mapping[str, Mapping[str, np.ndarray]],
    *,
    labels: np.ndarray | None = None,
    name: str = "activations",
    measures: Sequence[str] | None = None,
    permutations: int = 20,
) -> tuple[Compared, dict[str, Side]]:
    """Every pair of precomputed activations; no model is needed.

    **Arguments:**

    - `arrays`: for each model its `representation (N, D)`, its `logits (N, C)`, or both.

    **Raises:** `InvalidInput` for fewer than two, or measures that cannot be computed, which those
    of mechanisms never can.
    """
    no_model = "it needs inverted images, and with --activations no model makes any. Leave it out."
    check_kinds(measures, {"mechanism": no_model})
    sides = {
        model: Side(
            representation=held.get("representation"), logits=held.get("logits"), labels=labels
        )
        for model, held in arrays.items()
    }
    records = [
        {"name": model, "reference": model, "architecture": model, "parameters": None}
        | _sizes_and_accuracy(side)
        for model, side in sides.items()
    ]
    found = _compare(sides, records, name, measures, permutations, [])
    _add_flips(found, sides)
    return found, sides


def _add_flips(
    found: Compared, sides: Mapping[str, Side], *, name_of: Callable[[int], str] = "#{}".format
) -> None:
    if not found.replacements:
        return
    changes = [((r.a, r.b), r.swap) for r in found.replacements]
    found.flips = pd.concat(
        [
            flips_between(names, change, sides, classes=found.class_names, name_of=name_of)
            for names, change in changes
        ],
        ignore_index=True,
    )
    found.flips_by_class = pd.concat(
        [flips_by_class(names, change, classes=found.class_names) for names, change in changes],
        ignore_index=True,
    )


def _compare(
    sides: dict[str, Side],
    records: list[dict[str, Any]],
    name: str,
    measures: Sequence[str] | None,
    permutations: int,
    notes: list[str],
) -> Compared:
    chosen = chosen_measures(measures, sides, usual=STUDY_MEASURES, notes=notes)
    found = Compared(
        name=name,
        n_inputs=next(iter(sides.values())).n_inputs,
        models=records,
        measures=chosen,
        replacements=_replacements(sides),
        notes=notes,
    )
    found.scores = score_pairs(
        sides, of_kind("pair", chosen), name=name, architectures=found.architectures,
        permutations=permutations,
    )  # fmt: skip
    if together := of_kind("set", chosen):
        found.sets = score_together(sides, together, name=name)
    return found


def _model_record(model: Model, side: Side) -> dict[str, Any]:
    return {
        "name": model.name,
        "reference": model.reference,
        "architecture": model.architecture,
        "parameters": model.n_parameters,
        **_sizes_and_accuracy(side),
    }


def _sizes_and_accuracy(side: Side) -> dict[str, Any]:
    accuracy = None
    if side.has_logits and side.has_labels:
        accuracy = float((side.predictions == side.labels).double().mean())
    return {
        "representation_size": side.representation.shape[1] if side.has_representation else None,
        "classes": side.n_classes if side.has_logits else None,
        "accuracy": accuracy,
    }


def _replacements(sides: Mapping[str, Side]) -> list[Replacement]:
    """Of the first model by each other one, where the classes are the same and known."""
    (first, incumbent), *others = sides.items()
    if not all(s.has_labels and s.has_logits for s in sides.values()):
        return []
    truth = incumbent.labels.cpu().numpy()
    before = incumbent.predictions.cpu().numpy()
    return [
        Replacement(a=first, b=name, swap=swap(before, side.predictions.cpu().numpy(), truth))  # pyright: ignore[reportArgumentType]
        for name, side in others
        if side.n_classes == incumbent.n_classes
    ]
