"""Scores that are not of one pair on one input set.

Of mechanisms: what a model says of images against what it says of another's inversions of them.
Of sets: how much the choice among all models of a cell decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from samemind.comparison.pairs import (
    SCORES_FILE,
    pair_columns,
    pairs_on,
    score_pair,
    sides_of,
    tidy,
)
from samemind.errors import UndefinedScore
from samemind.execution.devices import Execution, where_memory_suffices
from samemind.extraction.activations import Activations
from samemind.inversion import Inverted, load_inputs
from samemind.lazy import LazyModule
from samemind.measures.mechanism import MECHANISM_MEASURES
from samemind.measures.of_sets import SET_MEASURES
from samemind.sides.pair import Pair, Side
from samemind.store.artifacts import Recipe, Store

if TYPE_CHECKING:
    import pandas as pd
    import torch
else:
    pd = LazyModule("pandas")

SET_SCORES_FILE = "sets.parquet"


# -- recipes


@dataclass(frozen=True, kw_only=True)
class MechanismScores(Recipe):
    """Mechanism measures of all ordered pairs of one cell: on targets, and on their inversions.

    - `on_targets`: of every model, on the images that were inverted.
    - `on_inverted`: of every model, on the inverted images of each.
    """

    kind: ClassVar[str] = "scores"

    dataset: str
    epsilon: float
    on_targets: tuple[Activations, ...]
    on_inverted: tuple[Activations, ...]
    measures: tuple[str, ...]
    permutations: int
    random_seed: int

    @property
    def label(self) -> str:
        return f"{self.dataset}-eps{self.epsilon:g}-mechanisms"


@dataclass(frozen=True, kw_only=True)
class SetScores(Recipe):
    """Measures of all models of one cell together, on each of its input sets."""

    kind: ClassVar[str] = "scores"

    dataset: str
    epsilon: float
    activations: tuple[Activations, ...]
    measures: tuple[str, ...]

    @property
    def label(self) -> str:
        return f"{self.dataset}-eps{self.epsilon:g}-sets"


# -- pure functions


def score_mechanisms(
    names: tuple[str, str],
    on_targets: Side,
    on_inverted: Side,
    measures: Sequence[str],
    *,
    permutations: int = 0,
    random_seed: int = 0,
) -> Iterator[dict[str, Any]]:
    """A row for every mechanism measure of one ordered pair, like those of `score_measures`.

    **Arguments:**

    - `names`: the model whose inverted images they are, and the model that looks at them.
    - `on_targets`, `on_inverted`: what the second model says of the images and of the inversions.
    """
    for name in measures:
        applied = MECHANISM_MEASURES[name].applied
        scored = score_pair(
            Pair(on_targets, on_inverted),
            applied,
            permutations=permutations,
            random_seed=random_seed,
        )
        layer = "logits" if applied.reads == "logits" else "penultimate"
        yield {"model_a": names[0], "model_b": names[1], "layer": layer, "measure": name} | (
            scored._asdict()
        )


def score_sets(sides: Sequence[Side], measures: Sequence[str]) -> Iterator[dict[str, Any]]:
    """A row for every measure of a set of models: score, how many models and inputs, and reason."""
    for name in measures:
        score, reason = float("nan"), None
        try:
            score = SET_MEASURES[name].score(sides)
        except UndefinedScore as error:
            reason = str(error)
        yield {
            "measure": name,
            "score": score,
            "n_models": len(sides),
            "n_inputs": sides[0].n_inputs,
            "reason": reason,
        }


# -- builds


def build_mechanism_scores(recipe: MechanismScores, store: Store, execution: Execution) -> None:
    """Scores every ordered pair of a cell and writes the table."""
    rows = where_memory_suffices(partial(_mechanism_rows, recipe, store), execution.start())
    with store.create(recipe) as draft:
        draft.write_table(SCORES_FILE, tidy(rows))


def _mechanism_rows(
    recipe: MechanismScores, store: Store, device: torch.device
) -> list[dict[str, Any]]:
    targets = recipe.on_targets[0].inputs
    before = sides_of(recipe.on_targets, load_inputs(targets, store)["labels"], store, device)
    of = {a.checkpoint.model: a.checkpoint for a in recipe.on_targets}
    rows = []
    for inputs in dict.fromkeys(a.inputs for a in recipe.on_inverted):
        labels = load_inputs(inputs, store)["labels"]
        here = [a for a in recipe.on_inverted if a.inputs == inputs]
        after = sides_of(here, labels, store, device)
        for a, b in pairs_on(inputs, list(after)):
            where = pair_columns(recipe, inputs, of[a], of[b], len(labels))
            rows += [
                where | row
                for row in score_mechanisms(
                    (a, b),
                    before[b],
                    after[b],
                    recipe.measures,
                    permutations=recipe.permutations,
                    random_seed=recipe.random_seed,
                )
            ]
    return rows


def build_set_scores(recipe: SetScores, store: Store, execution: Execution) -> None:
    """Scores all models of a cell together on each input set and writes the table."""
    device = execution.start()
    rows = []
    for inputs in dict.fromkeys(a.inputs for a in recipe.activations):
        here = [a for a in recipe.activations if a.inputs == inputs]
        sides = sides_of(here, load_inputs(inputs, store)["labels"], store, device)
        natural = inputs.targets if isinstance(inputs, Inverted) else inputs
        where = {
            "dataset": recipe.dataset,
            "epsilon": recipe.epsilon,
            "inputs": "inverted" if isinstance(inputs, Inverted) else "natural",
            "inputs_dataset": natural.dataset,
            "inverted_by": inputs.checkpoint.model if isinstance(inputs, Inverted) else None,
        }
        rows += [where | row for row in score_sets(list(sides.values()), recipe.measures)]
    with store.create(recipe) as draft:
        draft.write_table(SET_SCORES_FILE, pd.DataFrame(rows))
