"""Scores of mechanisms: what a model says of images, and of what was made of them.

Asymmetric by nature: the one owns the inverted or adversarial images, the other looks at both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import nan
from typing import TYPE_CHECKING, Any, ClassVar

from samemind.comparison.pairs import (
    SCORES_FILE,
    UNDEFINED,
    Scored,
    labels_apply,
    score_pair,
    sides_of,
)
from samemind.comparison.table import At, cell_label, place_of, tidy
from samemind.errors import UndefinedScore
from samemind.execution.devices import Execution, where_memory_suffices
from samemind.extraction.activations import Activations
from samemind.inversion import load_inputs
from samemind.measures.attack_transfer import attack_transfer
from samemind.measures.mechanism import MECHANISM_MEASURES
from samemind.sides.pair import Pair, Side
from samemind.store.artifacts import Recipe, Store, later

if TYPE_CHECKING:
    import torch

# -- recipe


@dataclass(frozen=True, kw_only=True)
class MechanismScores(Recipe):
    """Mechanism measures of all ordered pairs of one cell: on targets, and on what they became.

    - `on_targets`: of every model, on the images that were inverted or attacked.
    - `on_inverted`: of every model, on the inverted (or adversarial) images of each.
    """

    kind: ClassVar[str] = "scores"
    version: ClassVar[int] = 2  # errors with N - 1, intervals, floors of enough shuffles, ties

    dataset: str
    epsilon: float
    on_targets: tuple[Activations, ...]
    on_inverted: tuple[Activations, ...]
    measures: tuple[str, ...]
    permutations: int
    random_seed: int
    errors: bool = later(True)
    at: At | None = later(None)

    @property
    def label(self) -> str:
        form = self.on_inverted[0].inputs.form
        last = "mechanisms" if form == "inverted" else f"{form}-mechanisms"
        return f"{cell_label(self)}-{last}"


# -- pure function


def score_mechanisms(
    on_targets: Mapping[str, Side],
    on_inverted: Mapping[str, Side],
    pairs: Iterable[tuple[str, str]],
    measures: Sequence[str],
    *,
    errors: bool = True,
    permutations: int = 0,
    random_seed: int = 0,
    has_own_labels: bool = True,
) -> Iterator[dict[str, Any]]:
    """A row for every mechanism measure of each ordered pair, like those of `score_pairs`.

    **Arguments:**

    - `pairs`: the model whose inverted images they are, and the model that looks at them.
    - `on_targets`, `on_inverted`: what each model says of the images, and of what they became.
    - `has_own_labels`: whether the labels of the images are classes of the models.
    """
    for owner, looking in pairs:
        for name in measures:
            member = MECHANISM_MEASURES[name]
            if member.made == "adversarial":
                attacked, other = (
                    (on_targets[model], on_inverted[model]) for model in (owner, looking)
                )
                scored, layer = _transfer(attacked, other, has_own_labels), "logits"
            else:
                layer = member.applied.layer
                scored = score_pair(
                    Pair(on_targets[looking], on_inverted[looking]),
                    member.applied,
                    errors=errors,
                    permutations=permutations,
                    random_seed=random_seed,
                )
            yield {
                "model_a": owner,
                "model_b": looking,
                "layer": layer,
                "measure": name,
                **scored._asdict(),
            }


def _transfer(attacked: tuple[Side, Side], other: tuple[Side, Side], has_labels: bool) -> Scored:
    try:
        found = attack_transfer(attacked, other, has_labels=has_labels)
    except UndefinedScore as error:
        return UNDEFINED._replace(reason=str(error))
    return Scored(
        found.score, found.standard_error, found.lower, found.upper, found.floor, nan, None
    )


# -- build


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
    checkpoints = [a.checkpoint for a in recipe.on_targets]
    rows = []
    for inputs in dict.fromkeys(a.inputs for a in recipe.on_inverted):
        labels = load_inputs(inputs, store)["labels"]
        here = [a for a in recipe.on_inverted if a.inputs == inputs]
        place = place_of(recipe, inputs, checkpoints, len(labels))
        scored = score_mechanisms(
            before,
            sides_of(here, labels, store, device),
            place.pairs(),
            recipe.measures,
            errors=recipe.errors,
            permutations=recipe.permutations,
            random_seed=recipe.random_seed,
            has_own_labels=labels_apply(recipe.dataset, targets),
        )
        rows += place.placed(scored)
    return rows
