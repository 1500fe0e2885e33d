"""Layer by layer: how alike two models of a study are inside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from samemind.architectures.base import ARCHITECTURES
from samemind.comparison.layer_maps import Layers, layer_map
from samemind.comparison.pairs import SCORES_FILE, score_measures
from samemind.comparison.table import At, cell_label, place_of, tidy
from samemind.errors import InvalidInput
from samemind.execution.devices import Execution
from samemind.extraction.activations import AskedLayer, LayerActivations, load_layer_activations
from samemind.inversion import Inputs, load_inputs
from samemind.lazy import pd, torch
from samemind.measures import measure
from samemind.measures.base import Pair, Side
from samemind.registry import did_you_mean
from samemind.store.artifacts import Recipe, Store, later

LAYER_MAP_FILE = "layers.parquet"


# -- recipe


@dataclass(frozen=True, kw_only=True)
class LayerScores(Recipe):
    """Every layer of each model of a cell with every layer of each other one.

    - `layer_measure`: of the whole map, a row per pair of layers.
    - `measures`: of representations, of the layers that were asked for alike (the same name or
      depth; the same place in the lists of two architectures), with error and floor.
    """

    kind: ClassVar[str] = "scores"
    version: ClassVar[int] = 3  # maps with errors, floors and the chance of their best

    dataset: str
    epsilon: float
    activations: tuple[LayerActivations, ...]
    layer_measure: str
    measures: tuple[str, ...]
    permutations: int
    random_seed: int
    errors: bool = later(True)
    at: At | None = later(None)

    @property
    def inputs(self) -> str:
        return self.activations[0].inputs.form

    @property
    def label(self) -> str:
        return f"{cell_label(self)}-{self.inputs}-layers"


# -- pure functions


def corresponding(
    first: Sequence[AskedLayer], second: Sequence[AskedLayer], *, by_place: bool
) -> list[tuple[str, str, str]]:
    """A name and the two layers, for layers that were asked for alike.

    >>> first, second = [AskedLayer("depth 1", "fc")], [AskedLayer("depth 1", "head")]
    >>> corresponding(first, second, by_place=False)
    [('depth 1', 'fc', 'head')]
    """
    if by_place:
        if len(first) != len(second):
            return []
        return [
            (a.asked if a.asked == b.asked else f"{a.asked} / {b.asked}", a.layer, b.layer)
            for a, b in zip(first, second, strict=True)
        ]
    there = {b.asked: b.layer for b in second}
    return [(a.asked, a.layer, there[a.asked]) for a in first if a.asked in there]


def check_layers(asked: Mapping[str, Sequence[str | float]], *, is_shared: bool) -> None:
    """Raises `InvalidInput` for a layer that there is not, before anything is trained.

    **Arguments:**

    - `asked`: for each architecture the layers that a study asks of it.
    - `is_shared`: all are asked for the same ones, so that each needs some of them only.

    **Cost:** builds each architecture once, without values where that can be done.
    """
    known = {name: _layers_of(name) for name in asked}
    everywhere = sorted(set().union(*known.values())) if known else []
    for architecture, layers in asked.items():
        has = known[architecture]
        names = [one for one in layers if isinstance(one, str) and one != "all"]
        for name in names:
            if name not in (everywhere if is_shared else has):
                who = (
                    "No architecture of the study has a" if is_shared else f"{architecture} has no"
                )
                raise InvalidInput(
                    f"{who} layer '{name}'. {did_you_mean(name, everywhere if is_shared else has)}"
                    f"`samemind list layers {architecture}` shows those of {architecture}."
                )
        if names and len(names) == len(layers) and not set(names) & set(has):
            raise InvalidInput(
                f"{architecture} has none of the layers {', '.join(names)}. Name one of its own as "
                f"well (`samemind list layers {architecture}`), a depth such as 0.5, or a list per "
                f"architecture: layers = {{{architecture} = [...]}}."
            )


def _layers_of(architecture: str) -> list[str]:
    return [name for name, _ in layers_of(architecture)]


def layers_of(architecture: str) -> list[tuple[str, str]]:
    """Name and type of every layer of an architecture, in its order."""
    record = ARCHITECTURES[architecture]
    classes = next(iter(record.parameters), 10)

    def built():
        with torch.random.fork_rng(devices=[]):
            return record.build(classes, record.image_size)

    try:
        with torch.device("meta"):
            network = built()
    except (RuntimeError, NotImplementedError):
        network = built()
    return [(name, type(layer).__name__) for name, layer in network.named_modules() if name]


# -- build


def build_layer_scores(recipe: LayerScores, store: Store, execution: Execution) -> None:
    """Compares the layers of all pairs of a cell and writes both tables.

    **Cost:** memory for the layers of two models at a time.
    """
    execution.start()
    maps: list[pd.DataFrame] = []
    rows: list[dict[str, Any]] = []
    for inputs in dict.fromkeys(a.inputs for a in recipe.activations):
        for table, scored in _pairs(recipe, inputs, store):
            maps.append(table)
            rows += scored
    with store.create(recipe) as draft:
        draft.write_table(LAYER_MAP_FILE, pd.concat(maps, ignore_index=True))
        draft.write_table(SCORES_FILE, tidy(rows))


def _pairs(
    recipe: LayerScores, inputs: Inputs, store: Store
) -> Iterator[tuple[pd.DataFrame, list[dict[str, Any]]]]:
    of = {a.checkpoint.model: a for a in recipe.activations if a.inputs == inputs}
    labels = load_inputs(inputs, store)["labels"]

    def sides(model: str) -> tuple[list[AskedLayer], dict[str, Side]]:
        asked, held = load_layer_activations(of[model], store)
        return asked, {n: Side(representation=rows, labels=labels) for n, rows in held.items()}

    place = place_of(recipe, inputs, [a.checkpoint for a in of.values()], len(labels))
    asked_a, sides_a, layers_a, opened = [], {}, Layers({}), None
    for a, b in place.pairs():
        if a != opened:
            asked_a, sides_a = sides(a)
            layers_a, opened = Layers(sides_a), a
        asked_b, sides_b = sides(b)
        alike = corresponding(asked_a, asked_b, by_place=of[a].layers != of[b].layers)
        scored = [
            row | {"layer": name}
            for name, layer_a, layer_b in alike
            for row in score_measures(
                (a, b),
                Pair(sides_a[layer_a], sides_b[layer_b]),
                [m for m in recipe.measures if measure(m).reads == "representation"],
                both_ways=place.both_ways,
                errors=recipe.errors,
                permutations=recipe.permutations,
                random_seed=recipe.random_seed,
            )
        ]
        where = place.placed([{"model_a": a, "model_b": b}])[0]
        table = layer_map(
            layers_a,
            sides_b,
            recipe.layer_measure,
            errors=recipe.errors,
            permutations=recipe.permutations,
            random_seed=recipe.random_seed,
        ).assign(**where)
        yield table, place.placed(scored)
