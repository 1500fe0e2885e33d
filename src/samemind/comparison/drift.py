"""Scores beyond the number of inputs at hand: whether they still move, and against chance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import nan
from typing import Any

from samemind.errors import InvalidInput, UndefinedScore
from samemind.lazy import torch
from samemind.measures import measure
from samemind.measures.base import Measure, Pair, Side

#: Random partitions of the inputs into quarters, over which scores of fewer inputs are averaged.
PARTITIONS = 4
FEWEST_INPUTS = 16
#: Shuffles of a calibrated score that has no closed form: the smallest p-value is then 1 in 200.
CALIBRATIONS = 199


@dataclass(frozen=True, kw_only=True)
class Drift:
    """How a score moves with the number of inputs N.

    - `quarter`, `half`, `score`: at N/4, N/2 and N; the first two are means over random parts of
      the inputs, `quarter_error` and `half_error` the deviations of these means over partitions.
    - `limit`: where the score goes if what it is off by shrinks as 1 / N: 2 `score` - `half`.
    - `is_moving`: whether `half` differs from `score` by more than half of a standard error and
      twice its own error, so that more inputs would change what is read.
    """

    n_inputs: int
    quarter: float
    quarter_error: float
    half: float
    half_error: float
    score: float
    standard_error: float
    limit: float
    is_moving: bool


def extrapolate(pair: Pair, chosen: Measure, *, random_seed: int = 0) -> Drift:
    """The score at N/4, N/2 and N inputs, and whether it is still moving.

    A standard error and an interval are about the mean score of *as many inputs*; this is about
    more of them. The limit is first-order (Quenouille, 1956): it holds for scores whose bias is
    that of a function of means, not for neighbours, whose number of others is part of what they
    measure.

    **Cost:** `PARTITIONS` times four scores of N/4 and two of N/2 inputs, with all that each model
    brings to them.

    **Raises:** `InvalidInput` for fewer than `FEWEST_INPUTS` inputs; `UndefinedScore` where the
    score is undefined for some part of the inputs.
    """
    n = pair.n_inputs
    if n < FEWEST_INPUTS:
        raise InvalidInput(
            f"Scores of a quarter of {n} inputs say nothing of more inputs. "
            f"Give {FEWEST_INPUTS} or more."
        )
    generator = torch.Generator().manual_seed(random_seed)
    quarters, halves = [], []
    for _ in range(PARTITIONS):
        order = torch.randperm(n, generator=generator)
        quarters.append(_mean_of_parts(pair, chosen, order, 4))
        halves.append(_mean_of_parts(pair, chosen, order, 2))
    score, error = chosen.score(pair), chosen.standard_error(pair)
    (quarter, quarter_error), (half, half_error) = map(_mean_and_error, (quarters, halves))
    low, high = chosen.bounds
    return Drift(
        n_inputs=n,
        quarter=quarter,
        quarter_error=quarter_error,
        half=half,
        half_error=half_error,
        score=score,
        standard_error=nan if error is None else error,
        limit=min(max(2 * score - half, low), high),
        is_moving=abs(score - half) > max((error or 0.0) / 2, 2 * half_error),
    )


def _mean_of_parts(pair: Pair, chosen: Measure, order: torch.Tensor, parts: int) -> float:
    rows = [order[start::parts].sort().values for start in range(parts)]
    return sum(chosen.score(pair.restricted(some)) for some in rows) / parts


def _mean_and_error(values: list[float]) -> tuple[float, float]:
    mean = sum(values) / len(values)
    squares = sum((value - mean) ** 2 for value in values)
    return mean, (squares / (len(values) - 1) / len(values)) ** 0.5


def with_drift(
    rows: Iterable[Mapping[str, Any]], sides: Mapping[str, Side], *, random_seed: int = 0
) -> Iterator[dict[str, Any]]:
    """The rows of scores with the columns `score_quarter`, `score_half`, `limit` and `is_moving`.

    Empty where the score is undefined, for all inputs or for a part of them.
    """
    for row in rows:
        found = None
        if not row["reason"]:
            try:
                found = extrapolate(*_of(row, sides), random_seed=random_seed)
            except UndefinedScore:
                found = None
        yield {
            **row,
            "score_quarter": nan if found is None else found.quarter,
            "score_half": nan if found is None else found.half,
            "limit": nan if found is None else found.limit,
            "is_moving": None if found is None else found.is_moving,
        }


def with_calibration(
    rows: Iterable[Mapping[str, Any]], sides: Mapping[str, Side], *, random_seed: int = 0
) -> Iterator[dict[str, Any]]:
    """The rows of scores with the columns `calibrated` and `p_value`, from `Measure.calibrated`.

    Empty where the score is undefined, and for measures that have no floor.
    """
    for row in rows:
        found = None
        if not row["reason"]:
            pair, chosen = _of(row, sides)
            try:
                found = chosen.calibrated(pair, permutations=CALIBRATIONS, random_seed=random_seed)
            except UndefinedScore:
                found = None
        yield {
            **row,
            "calibrated": nan if found is None else found.score,
            "p_value": nan if found is None else found.p_value,
        }


def _of(row: Mapping[str, Any], sides: Mapping[str, Side]) -> tuple[Pair, Measure]:
    return Pair(sides[row["model_a"]], sides[row["model_b"]]), measure(row["measure"])
