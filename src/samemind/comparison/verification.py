"""Scores against a recomputation in float64: how much rounding there is in a result."""

from __future__ import annotations

from dataclasses import replace

from samemind.comparison.pairs import SCORES_FILE, Scores, pairs_on, sides_of
from samemind.inversion import load_inputs
from samemind.measures.cell import PairScore, Verification, verify
from samemind.store.artifacts import Store


def verify_scores(recipe: Scores, store: Store, *, share: float = 0.01) -> Verification:
    """The scores of a random share of a cell's pairs against a recomputation in float64.

    **Returns:** the worst of all input sets of the cell.

    **Cost:** about twice that of the share of the comparison.
    """
    table = store.open(recipe).table(SCORES_FILE)
    found = []
    for i, inputs in enumerate(dict.fromkeys(a.inputs for a in recipe.activations)):
        here = [a for a in recipe.activations if a.inputs == inputs]
        sides = sides_of(here, load_inputs(inputs, store)["labels"], store)
        pairs = pairs_on(inputs, list(sides))
        scores = [
            PairScore(
                first=row["model_a"],
                second=row["model_b"],
                measure=row["measure"],
                score=row["score"],
            )
            for row in table.to_dict("records")
            if (row["model_a"], row["model_b"]) in pairs
        ]
        found.append(verify(sides, scores, share=share, random_seed=recipe.random_seed + i))
    worst = max(found, key=lambda v: v.largest_difference)
    return replace(
        worst,
        n_pairs=sum(v.n_pairs for v in found),
        of_pairs=sum(v.of_pairs for v in found),
    )
