"""Scores of sets of models: how much the choice among all models of a cell decides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from samemind.comparison.pairs import sides_of
from samemind.comparison.table import At, cell_label, place_of
from samemind.errors import UndefinedScore
from samemind.execution.devices import Execution
from samemind.extraction.activations import Activations
from samemind.inversion import load_inputs
from samemind.lazy import pd
from samemind.measures.of_sets import SET_MEASURES
from samemind.sides.pair import Side
from samemind.store.artifacts import Recipe, Store, later

SET_SCORES_FILE = "sets.parquet"


# -- recipe


@dataclass(frozen=True, kw_only=True)
class SetScores(Recipe):
    """Measures of all models of one cell together, on each of its input sets."""

    kind: ClassVar[str] = "scores"

    dataset: str
    epsilon: float
    activations: tuple[Activations, ...]
    measures: tuple[str, ...]
    at: At | None = later(None)

    @property
    def label(self) -> str:
        return f"{cell_label(self)}-sets"


# -- pure function


def score_sets(sides: Mapping[str, Side], measures: Sequence[str]) -> Iterator[dict[str, Any]]:
    """A row for every measure of a set of models: score, how many models and inputs, and reason."""
    together = list(sides.values())
    for name in measures:
        score, reason = float("nan"), None
        try:
            score = SET_MEASURES[name].score(together)
        except UndefinedScore as error:
            reason = str(error)
        yield {
            "measure": name,
            "score": score,
            "n_models": len(together),
            "n_inputs": together[0].n_inputs,
            "reason": reason,
        }


# -- build


def build_set_scores(recipe: SetScores, store: Store, execution: Execution) -> None:
    """Scores all models of a cell together on each input set and writes the table."""
    device = execution.start()
    rows = []
    for inputs in dict.fromkeys(a.inputs for a in recipe.activations):
        here = [a for a in recipe.activations if a.inputs == inputs]
        labels = load_inputs(inputs, store)["labels"]
        sides = sides_of(here, labels, store, device)
        place = place_of(recipe, inputs, [a.checkpoint for a in here], len(labels))
        rows += [place.columns | row for row in score_sets(sides, recipe.measures)]
    with store.create(recipe) as draft:
        draft.write_table(SET_SCORES_FILE, pd.DataFrame(rows))
