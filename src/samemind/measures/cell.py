"""All pairs of many models on one input set, at a small multiple of the cost of reading them.

What depends on one model is made once, what depends on a pair is made once and feeds every
measure that reads it, and nothing is kept longer than the pair that needs it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan, nan
from typing import TYPE_CHECKING

from samemind.errors import InvalidInput, UndefinedScore
from samemind.lazy import LazyModule
from samemind.measures.base import MEASURES, Measure, Pair, Score, Side

if TYPE_CHECKING:
    import torch
else:
    torch = LazyModule("torch")


@dataclass(frozen=True, kw_only=True)
class PairScore:
    """One measure on one pair; where it is undefined, the score is NaN and `reason` says why."""

    first: str
    second: str
    measure: str
    score: float
    reason: str | None = None


def score_pairs(
    sides: Mapping[str, Side], pairs: Iterable[tuple[str, str]], measures: Sequence[str]
) -> list[PairScore]:
    """The scores of these pairs by these measures, in the order of pairs, then of measures.

    **Arguments:**

    - `sides`: each model's answers to the same inputs in the same order, by its name.
    - `pairs`: names of two models each.
    - `measures`: names from the registry, such as `linear_cka` or `knn_jaccard@100`.

    **Cost:** the per-model part of each measure once per model; the N² cosines of one model at a
    time. Scores stay on the device until all pairs are done.
    """
    chosen = [MEASURES[name] for name in measures]
    asked = list(pairs)
    for name in dict.fromkeys(name for pair in asked for name in pair):
        if name not in sides:
            raise InvalidInput(f"No side is called '{name}'. There are: {', '.join(sides)}.")
        prepare(sides[name], chosen)
    raw = [_raw_scores(Pair(sides[a], sides[b]), chosen) for a, b in asked]
    found = []
    for (a, b), scores in zip(asked, raw, strict=True):
        pair = Pair(sides[a], sides[b])
        for member, score in zip(chosen, scores, strict=True):
            value, reason = _checked(member, score, pair)
            found.append(
                PairScore(first=a, second=b, measure=member.name, score=value, reason=reason)
            )
    return found


def prepare(side: Side, measures: Sequence[Measure]) -> None:
    """Makes together what costs less together: the neighbours for all k of these measures."""
    counts = sorted(
        {
            member.settings["k"]
            for member in measures
            if member.family == "neighbours" and "k" in member.settings
        }
    )
    counts = [k for k in counts if k < side.n_inputs]  # the others say so when they are scored
    if counts:
        side.prepare_neighbours(counts)


def _raw_scores(pair: Pair, measures: Sequence[Measure]) -> list[Score | UndefinedScore]:
    scores: list[Score | UndefinedScore] = []
    for member in measures:
        try:
            scores.append(member.raw(pair))
        except UndefinedScore as error:
            scores.append(error)
    return scores


def _checked(
    member: Measure, score: Score | UndefinedScore, pair: Pair
) -> tuple[float, str | None]:
    if isinstance(score, UndefinedScore):
        return nan, str(score)
    try:
        return member.checked(score, pair), None
    except UndefinedScore as error:
        return nan, str(error)


@dataclass(frozen=True, kw_only=True)
class Verification:
    """How far scores are from a recomputation in float64: the largest difference, and where."""

    largest_difference: float
    n_pairs: int
    of_pairs: int
    worst: PairScore | None

    def __str__(self) -> str:
        where = ""
        if self.worst is not None:
            where = f" ({self.worst.measure} of {self.worst.first} and {self.worst.second})"
        return (
            f"{self.n_pairs} of {self.of_pairs} pairs computed again in float64: "
            f"largest difference {self.largest_difference:.1e}{where}."
        )


def verify(
    sides: Mapping[str, Side],
    scores: Sequence[PairScore],
    *,
    share: float = 0.01,
    random_seed: int = 0,
) -> Verification:
    """Computes a random share of the pairs again, in float64 throughout; at least one pair.

    A score that is defined one way and not the other counts as an infinite difference.
    """
    pairs = list(dict.fromkeys((score.first, score.second) for score in scores))
    if not pairs:
        raise InvalidInput("There are no scores to verify. Score some pairs first.")
    if not 0 < share <= 1:
        raise InvalidInput(f"A share of {share} of the pairs was asked for. Give one in (0, 1].")
    generator = torch.Generator().manual_seed(random_seed)
    n_chosen = max(1, round(share * len(pairs)))
    order = torch.randperm(len(pairs), generator=generator)[:n_chosen]
    chosen = [pairs[index] for index in order.tolist()]
    largest, worst = 0.0, None
    for a, b in chosen:
        exact = {name: sides[name].in_float64() for name in (a, b)}
        before = [score for score in scores if (score.first, score.second) == (a, b)]
        again = score_pairs(exact, [(a, b)], [score.measure for score in before])
        for old, new in zip(before, again, strict=True):
            difference = _difference(old.score, new.score)
            if worst is None or difference > largest:
                largest, worst = difference, old
    return Verification(
        largest_difference=largest, n_pairs=n_chosen, of_pairs=len(pairs), worst=worst
    )


def _difference(old: float, new: float) -> float:
    if isnan(old) or isnan(new):
        return 0.0 if isnan(old) and isnan(new) else float("inf")
    return abs(old - new)
