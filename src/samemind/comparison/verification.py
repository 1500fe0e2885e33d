"""Scores against a recomputation in float64: how much rounding there is in a result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, isnan
from typing import Any

from samemind.comparison.pairs import SCORES_FILE, Scores, score_pairs, sides_of
from samemind.comparison.table import place_of
from samemind.errors import InvalidInput
from samemind.inversion import load_inputs
from samemind.lazy import torch
from samemind.measures.base import Side
from samemind.store.artifacts import Store


@dataclass(frozen=True, kw_only=True)
class Verification:
    """How far scores are from a recomputation in float64: the largest difference, and where.

    - `worst`: the row of the score that is furthest off, as `score_pairs` gave it.
    """

    largest_difference: float
    n_pairs: int
    of_pairs: int
    worst: Mapping[str, Any] | None

    def __str__(self) -> str:
        where = ""
        if self.worst is not None:
            w = self.worst
            where = f" ({w['measure']} of {w['model_a']} and {w['model_b']})"
        return (
            f"{self.n_pairs} of {self.of_pairs} pairs computed again in float64: "
            f"largest difference {self.largest_difference:.1e}{where}."
        )


def verify(
    sides: Mapping[str, Side],
    scores: Sequence[Mapping[str, Any]],
    *,
    share: float = 0.01,
    random_seed: int = 0,
) -> Verification:
    """Computes a random share of the pairs again, in float64 throughout; at least one pair.

    A score that is defined one way and not the other counts as an infinite difference.

    **Arguments:**

    - `scores`: rows of `score_pairs`: `model_a`, `model_b`, `measure` and `score`.
    """
    pairs = list(dict.fromkeys((row["model_a"], row["model_b"]) for row in scores))
    if not pairs:
        raise InvalidInput("There are no scores to verify. Score some pairs first.")
    if not 0 < share <= 1:
        raise InvalidInput(f"A share of {share} of the pairs was asked for. Give one in (0, 1].")
    generator = torch.Generator().manual_seed(random_seed)
    n_chosen = max(1, round(share * len(pairs)))
    order = torch.randperm(len(pairs), generator=generator)[:n_chosen]
    largest, worst = 0.0, None
    for a, b in [pairs[index] for index in order.tolist()]:
        exact = {name: sides[name].in_float64() for name in (a, b)}
        before = [row for row in scores if (row["model_a"], row["model_b"]) == (a, b)]
        names = [row["measure"] for row in before]
        again = score_pairs(exact, [(a, b)], names, both_ways=False, errors=False)
        for old, new in zip(before, again, strict=True):
            difference = _difference(old["score"], new["score"])
            if worst is None or difference > largest:
                largest, worst = difference, old
    return Verification(
        largest_difference=largest, n_pairs=n_chosen, of_pairs=len(pairs), worst=worst
    )


def _difference(old: float, new: float) -> float:
    if isnan(old) or isnan(new):
        return 0.0 if isnan(old) and isnan(new) else inf
    return abs(old - new)


def verify_scores(recipe: Scores, store: Store, *, share: float = 0.01) -> Verification:
    """The scores of a random share of a cell's pairs against a recomputation in float64.

    **Returns:** the worst of all input sets of the cell.

    **Cost:** about twice that of the share of the comparison.
    """
    table = store.open(recipe).table(SCORES_FILE)
    found = []
    for i, inputs in enumerate(dict.fromkeys(a.inputs for a in recipe.activations)):
        here = [a for a in recipe.activations if a.inputs == inputs]
        labels = load_inputs(inputs, store)["labels"]
        pairs = place_of(recipe, inputs, [a.checkpoint for a in here], len(labels)).pairs()
        scores = [
            row for row in table.to_dict("records") if (row["model_a"], row["model_b"]) in pairs
        ]
        sides = sides_of(here, labels, store)
        seed = recipe.random_seed + i
        found.append(verify(sides, scores, share=share, random_seed=seed))  # pyright: ignore[reportArgumentType]
    worst = max(found, key=lambda v: v.largest_difference)
    return replace(
        worst,
        n_pairs=sum(v.n_pairs for v in found),
        of_pairs=sum(v.of_pairs for v in found),
    )
