"""Whether labels can be those of the inputs: what is said where models are right by chance only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from samemind.lazy import np
from samemind.registry import listing

if TYPE_CHECKING:
    from samemind.sides.side import Side

LEAST = 20  # inputs; fewer tell chance from nothing
LEVEL = 0.01  # of the test that a model does better than chance
RENUMBERED = 0.25  # of the inputs, so many more are right when the classes are numbered otherwise


class _AtChance(NamedTuple):
    accuracy: float
    chance: float
    renumbered: float


def told_of_labels(sides: Mapping[str, Side]) -> Iterator[str]:
    """Notes on models that say the same of every input, or are right no more often than chance.

    Chance is what a model would get with the same predictions and the same labels in another
    order. A model that would be right far more often under other numbers of the classes was
    counted otherwise; else the labels may be in another order than the inputs.

    **Cost:** O(N + C³) per model.
    """
    for name, side in sides.items():
        if side.has_logits and side.n_inputs >= LEAST and len(side.predictions.unique()) == 1:
            yield f"{name} says class {int(side.predictions[0])} of every one of the inputs."
    found = {name: held for name, side in sides.items() if (held := _at_chance(side))}
    for is_renumbered in (True, False):
        names = [n for n, h in found.items() if _is_renumbered(h) == is_renumbered]
        if not names:
            continue
        rates = listing([f"{found[n].accuracy:.1%}" for n in names])
        chance = listing([f"{found[n].chance:.1%}" for n in names])
        said = f"{listing(names)}: right on {rates} of the inputs, where chance gives {chance}. "
        if is_renumbered:
            best = listing([f"{found[n].renumbered:.1%}" for n in names])
            said += f"With the classes numbered in another order it would be {best}: check that "
            yield said + "order."
        else:
            yield said + "Check that the labels are in the order of the inputs."


def _is_renumbered(held: _AtChance) -> bool:
    return held.renumbered >= max(0.5, held.chance + RENUMBERED)


def _at_chance(side: Side) -> _AtChance | None:
    """How often a model is right, where that is no more than chance; else None."""
    from scipy.optimize import linear_sum_assignment
    from scipy.stats import binom

    if not (side.has_logits and side.has_labels) or side.n_inputs < LEAST:
        return None
    said, labels = side.predictions.cpu().numpy(), side.labels.cpu().numpy()
    if len(set(said.tolist())) == 1:  # right as often in any order
        return None
    n, n_classes = len(said), int(max(said.max(), labels.max())) + 1
    table = np.zeros((n_classes, n_classes))
    np.add.at(table, (labels, said), 1)
    chance = float(table.sum(0) @ table.sum(1)) / n**2
    right = int(np.trace(table))
    if chance > 0.9 or binom.sf(right - 1, n, chance) <= LEVEL:
        return None
    best = float(table[linear_sum_assignment(table, maximize=True)].sum())
    return _AtChance(right / n, chance, best / n)
