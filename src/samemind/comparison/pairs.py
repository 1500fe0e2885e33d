"""Scores: every measure on every pair of a cell, as one tidy table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

import numpy as np

from samemind.arrays import Array
from samemind.comparison.driving import driving_inputs, subgroup_scores
from samemind.errors import InvalidInput, UndefinedScore
from samemind.execution.devices import Execution, where_memory_suffices
from samemind.extraction.activations import Activations, load_activations
from samemind.inversion import Inputs, Inverted, load_inputs
from samemind.lazy import LazyModule
from samemind.measures import measure
from samemind.measures.base import Measure, Pair, Side
from samemind.measures.cell import prepare
from samemind.measures.choosing import check_kinds, chosen_measures
from samemind.measures.kinds import Kind
from samemind.store.artifacts import Recipe, Store
from samemind.training import Checkpoint

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from torch import nn
else:
    pd = LazyModule("pandas")
    torch = LazyModule("torch")

SCORES_FILE = "scores.parquet"
DRIVING_FILE = "driving-inputs.parquet"
SUBGROUPS_FILE = "subgroups.parquet"

# Debiased CKA beside the biased one: with few inputs the biased estimator is far above zero for
# models that have nothing in common.
STUDY_MEASURES = (
    "agreement",
    "jensen_shannon_similarity",
    "linear_cka",
    "debiased_linear_cka",
    "procrustes_similarity",
    "knn_jaccard",
)

COLUMNS = {
    "dataset": "str",
    "epsilon": "float64",
    "model_a": "str",
    "model_b": "str",
    "architecture_a": "str",
    "architecture_b": "str",
    "random_seed_a": "int64",
    "random_seed_b": "int64",
    "inputs": "str",
    "inputs_dataset": "str",
    "inverted_by": "str",
    "layer": "str",
    "measure": "str",
    "score": "float64",
    "standard_error": "float64",
    "lower": "float64",
    "upper": "float64",
    "floor": "float64",
    "floor_p95": "float64",
    "n_inputs": "int64",
    "reason": "str",
}


# -- recipe


@dataclass(frozen=True, kw_only=True)
class Scores(Recipe):
    """All pairs of one cell (dataset, ε) on one kind of input.

    - `activations`: of every model on the natural inputs; or, for inverted inputs, of every model
      on the inverted images of each.
    - `permutations`: of the rows of one side, for the floor of each score.
    - `driving_inputs`: how many inputs are kept that add most, and least, to each score.
    - `subgroups`: also score the inputs where two models agree, and where they disagree.
    """

    kind: ClassVar[str] = "scores"

    dataset: str
    epsilon: float
    activations: tuple[Activations, ...]
    measures: tuple[str, ...]
    permutations: int
    random_seed: int
    driving_inputs: int = 3
    subgroups: bool = True

    @property
    def inputs(self) -> str:
        return "inverted" if isinstance(self.activations[0].inputs, Inverted) else "natural"

    @property
    def label(self) -> str:
        return f"{self.dataset}-eps{self.epsilon:g}-{self.inputs}"


# -- pure functions


class Scored(NamedTuple):
    """One measure on one pair; `reason` says why a score is undefined, and is else None.

    `lower` and `upper` are the ends of a 95 % interval of the score.
    """

    score: float
    standard_error: float
    lower: float
    upper: float
    floor: float
    floor_p95: float
    reason: str | None


def score_pair(
    pair: Pair, chosen: Measure, *, permutations: int = 0, random_seed: int = 0
) -> Scored:
    """Score, error, interval and floor of one measure; an undefined score is said, not invented."""
    pair.expects_vectors = True  # the standard error needs them
    try:
        score = chosen.score(pair)
    except UndefinedScore as error:
        return Scored(np.nan, np.nan, np.nan, np.nan, np.nan, np.nan, str(error))
    deviation = chosen.standard_error(pair)
    lower, upper = chosen.interval(pair, deviation)
    floor = None
    if permutations:
        floor = chosen.floor(pair, permutations=permutations, random_seed=random_seed)
    return Scored(
        score,
        np.nan if deviation is None else deviation,
        lower,
        upper,
        np.nan if floor is None else floor.mean,
        np.nan if floor is None else floor.p95,
        None,
    )


def score_measures(
    names: tuple[str, str],
    pair: Pair,
    measures: Sequence[str],
    *,
    both_ways: bool = True,
    permutations: int = 0,
    random_seed: int = 0,
) -> Iterator[dict[str, Any]]:
    """A row for every measure of one pair: names, score, standard error, floor and reason.

    **Arguments:**

    - `pair`: what the two models of `names` say of the same inputs in the same order.
    - `both_ways`: score an asymmetric measure in the other direction too.
    """
    for name in measures:
        chosen = measure(name)
        directions = [(names, pair)]
        if both_ways and not chosen.is_symmetric:
            directions.append(((names[1], names[0]), Pair(pair.b, pair.a)))
        for (first, second), oriented in directions:
            scored = score_pair(
                oriented, chosen, permutations=permutations, random_seed=random_seed
            )
            layer = "logits" if chosen.reads == "logits" else "penultimate"
            yield {"model_a": first, "model_b": second, "layer": layer, "measure": name} | (
                scored._asdict()
            )


def tidy(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows as a table with the columns, types and order of `COLUMNS`, where they have them."""
    table = pd.DataFrame(list(rows))
    columns = [name for name in COLUMNS if name in table]
    others = [name for name in table if name not in COLUMNS]
    kinds = {c: COLUMNS[c] for c in columns if COLUMNS[c] != "str"}
    return table.astype(kinds)[columns + others]


def compare(
    models: Mapping[str, nn.Module | Array | Side] | Sequence[nn.Module | Array | Side],
    images: Array | None = None,
    *,
    measures: Sequence[str] | None = None,
    labels: Array | None = None,
    permutations: int = 20,
    batch_size: int = 256,
    device: str = "auto",
) -> pd.DataFrame:
    """Every measure on every pair of models, as a tidy table.

    **Arguments:**

    - `models`: by name; a list is named by position. Each is a module that maps images to logits
      (N, C), whose representation is what its last linear layer reads (found and verified); or
      its representation (N, …) as an array, NumPy or torch, which needs no model; or a
      `samemind.Side(representation=..., logits=...)` for both.
    - `images`: (N, channels, H, W), as the models expect them; only modules need them.
    - `measures`: names of measures of pairs from `samemind list measures`; unless given, the usual
      ones that what was given allows.
    - `labels`: (N,) class numbers, for the measures that need them.
    - `permutations`: for the floor of each score; 0 leaves the floors out.

    **Returns:** a pandas DataFrame, one row per pair and measure: score, standard error, the
    ends `lower` and `upper` of a 95 % interval, and floor
    (what the measure gives when the inputs of one side are shuffled).

    **Raises:** `InvalidInput` for fewer than two models, a model without a linear head, unequal
    numbers of inputs, or a measure that is not of pairs.

    **Cost:** one forward pass per model and image, plus that of the measures.
    """
    check_kinds(measures, _NOT_OF_PAIRS)
    named = (
        models if isinstance(models, Mapping) else {f"model {i}": m for i, m in enumerate(models)}
    )
    execution = Execution(device=device, batch_size=batch_size)
    sides = {name: _side_of(m, images, labels, execution) for name, m in named.items()}
    chosen = chosen_measures(measures, sides, usual=STUDY_MEASURES)
    n_inputs = next(iter(sides.values())).n_inputs
    rows = [
        row | {"n_inputs": n_inputs}
        for a, b in combinations(sides, 2)
        for row in score_measures(
            (a, b), Pair(sides[a], sides[b]), chosen, permutations=permutations
        )
    ]
    return tidy(rows)


# A row of the table is of one pair, and no images are inverted here.
_NOT_OF_PAIRS: dict[Kind, str] = {
    "set": "it is of all models together, not of a pair. Call it with their logits, as "
    "samemind.measures.of_sets.SET_MEASURES[NAME]([logits_a, logits_b]).",
    "mechanism": "it needs images that one of the models inverted. Call "
    "samemind.measures.mechanism.stir, or use `samemind compare` with --invert.",
}


def _side_of(
    model: nn.Module | Array | Side,
    images: Array | None,
    labels: Array | None,
    execution: Execution,
) -> Side:
    from samemind.architectures.heads import find_head
    from samemind.classifier import Classifier, outputs

    if isinstance(model, Side):
        return model
    if not isinstance(model, torch.nn.Module):
        return Side(representation=model.reshape(len(model), -1), labels=labels)
    if images is None:
        raise InvalidInput(
            f"{type(model).__name__} is a network, so it needs images to look at. Give them as the "
            f"second argument, or arrays in the place of the networks."
        )
    target, tensor = execution.start(), torch.as_tensor(images)
    if not isinstance(model, Classifier):
        channels = tensor.shape[1]
        head = find_head(model.to(target), tensor[:2].float().to(target))
        model = Classifier(model, head=head, mean=[0.0] * channels, std=[1.0] * channels)
    batch_size = execution.batch_size
    found = outputs(model.to(target), tensor, batch_size=batch_size, device=target)
    return Side(logits=found.logits, representation=found.representation, labels=labels)


# -- build


def build_scores(recipe: Scores, store: Store, execution: Execution) -> None:
    """Compares all pairs of a cell and writes the tables."""
    device = execution.start()
    found = _Tables([], [], [])
    for inputs in dict.fromkeys(a.inputs for a in recipe.activations):
        here = [a for a in recipe.activations if a.inputs == inputs]
        tables = where_memory_suffices(partial(_of_one_input_set, recipe, here, store), device)
        for held, more in zip(found, tables, strict=True):
            held.extend(more)
    with store.create(recipe) as draft:
        draft.write_table(SCORES_FILE, tidy(found.scores))
        draft.write_table(DRIVING_FILE, tidy(found.driving))
        draft.write_table(SUBGROUPS_FILE, tidy(found.subgroups))


class _Tables(NamedTuple):
    scores: list[dict[str, Any]]
    driving: list[dict[str, Any]]
    subgroups: list[dict[str, Any]]


def _of_one_input_set(
    recipe: Scores, activations: Sequence[Activations], store: Store, device: torch.device
) -> _Tables:
    found = _Tables([], [], [])
    inputs = activations[0].inputs
    labels = load_inputs(inputs, store)["labels"]
    by_model = {a.checkpoint.model: a.checkpoint for a in activations}
    sides = sides_of(activations, labels, store, device)
    for side in sides.values():
        # The neighbours for every k at once: they cost one pass over the cosines.
        prepare(side, [measure(name) for name in recipe.measures])
    owner = inputs.checkpoint.model if isinstance(inputs, Inverted) else None
    for a, b in pairs_on(inputs, list(sides)):
        where = pair_columns(recipe, inputs, by_model[a], by_model[b], len(labels))
        pair = Pair(sides[a], sides[b])
        # On inverted inputs every ordered pair comes by itself, on the images of its first model.
        rows = score_measures(
            (a, b),
            pair,
            recipe.measures,
            both_ways=owner is None,
            permutations=recipe.permutations,
            random_seed=recipe.random_seed,
        )
        found.scores.extend(where | row for row in rows)
        if recipe.driving_inputs:
            driving = driving_inputs(pair, recipe.measures, count=recipe.driving_inputs)
            found.driving.extend(
                where | row | {"label": int(labels[row["input"]])} for row in driving
            )
        if recipe.subgroups:
            found.subgroups.extend(where | row for row in subgroup_scores(pair, recipe.measures))
    return found


class Cell(Protocol):
    """What every comparison within one cell says of itself."""

    @property
    def dataset(self) -> str: ...
    @property
    def epsilon(self) -> float: ...


def pair_columns(
    cell: Cell, inputs: Inputs, first: Checkpoint, second: Checkpoint, n_inputs: int
) -> dict[str, Any]:
    """The columns of a row of scores that say which pair it is of, and on which inputs."""
    return {
        "dataset": cell.dataset,
        "epsilon": cell.epsilon,
        "model_a": first.model,
        "model_b": second.model,
        "architecture_a": first.architecture,
        "architecture_b": second.architecture,
        "random_seed_a": first.random_seed,
        "random_seed_b": second.random_seed,
        "inputs": "inverted" if isinstance(inputs, Inverted) else "natural",
        "inputs_dataset": (inputs.targets if isinstance(inputs, Inverted) else inputs).dataset,
        "inverted_by": inputs.checkpoint.model if isinstance(inputs, Inverted) else None,
        "n_inputs": n_inputs,
    }


def sides_of(
    activations: Sequence[Activations],
    labels: np.ndarray,
    store: Store,
    device: torch.device | str = "cpu",
) -> dict[str, Side]:
    """What each model says of one input set, by the model's name, on a device."""
    sides = {}
    for one in activations:
        held = {
            name: torch.from_numpy(values).to(device)
            for name, values in load_activations(one, store).items()
        }
        sides[one.checkpoint.model] = Side(
            representation=held["representation"], logits=held["logits"], labels=labels
        )
    return sides


def pairs_on(inputs: Inputs, models: Sequence[str]) -> list[tuple[str, str]]:
    """All pairs on natural inputs; on inverted ones, those of the model that they belong to."""
    if not isinstance(inputs, Inverted):
        return list(combinations(models, 2))
    owner = inputs.checkpoint.model
    return [(owner, other) for other in models if other != owner]
