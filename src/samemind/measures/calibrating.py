"""Scores as a share of the way from chance to identity, with a p-value."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING

from samemind.measures.promises import Calibrated, Floor
from samemind.sides.pair import Pair

if TYPE_CHECKING:
    from samemind.measures.members import Measure

#: From this many inputs on, the closed form's tail is that of shuffles.
FEWEST_INPUTS = 20


def calibrated(
    chosen: Measure, pair: Pair, *, permutations: int, random_seed: int, from_shuffles: bool
) -> Calibrated | None:
    """What `Measure.calibrated` gives."""
    if chosen.identical is None or not chosen.matches_inputs:
        return None
    score = chosen.score(pair)
    floor = None if from_shuffles else closed_form(chosen, pair)
    if floor is not None:
        larger = chosen.larger_is_more_similar
        return Calibrated(
            score=_share(chosen, score, floor.p95),
            p_value=floor.chance_beyond(score, larger_is_more_similar=larger),
            threshold=floor.p95,
            permutations=0,
        )
    scores = chosen.shuffled(pair, permutations, random_seed)
    threshold = _threshold(chosen, [score, *scores])
    sign = 1 if chosen.larger_is_more_similar else -1
    n_beyond = sum(sign * shuffled >= sign * score for shuffled in scores)
    return Calibrated(
        score=_share(chosen, score, threshold),
        p_value=(1 + n_beyond) / (1 + permutations),
        threshold=threshold,
        permutations=permutations,
    )


def closed_form(chosen: Measure, pair: Pair) -> Floor | None:
    """The floor with its whole distribution, where that has a closed form."""
    if chosen.closed_form_floor is None or pair.n_inputs < FEWEST_INPUTS:
        return None
    floor = chosen.floor(pair, permutations=1)
    return floor if floor is not None and floor.is_closed_form and floor.has_tail else None


def _share(chosen: Measure, score: float, threshold: float) -> float:
    assert chosen.identical is not None
    way = chosen.identical - threshold
    return max((score - threshold) / way if way else float(score == chosen.identical), 0.0)


def _threshold(chosen: Measure, scores: Sequence[float]) -> float:
    ascending = sorted(scores, reverse=not chosen.larger_is_more_similar)
    return ascending[ceil(0.95 * len(scores)) - 1]
