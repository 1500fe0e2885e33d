"""Scores with every column that a report needs: of pairs, of mechanisms, of all models together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

from samemind.comparison.mechanisms import score_mechanisms, score_sets
from samemind.comparison.pairs import COLUMNS, score_measures, tidy
from samemind.lazy import LazyModule
from samemind.measures.base import Pair, Side

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = LazyModule("pandas")


def score_pairs(
    sides: Mapping[str, Side],
    measures: Sequence[str],
    *,
    name: str,
    architectures: Mapping[str, str],
    permutations: int,
    inverted_by: str | None = None,
) -> pd.DataFrame:
    """The tidy table of all pairs on one input set; on inverted images, those of their owner."""
    rows = (
        row
        for a, b in _pairs(sides, inverted_by)
        for row in score_measures(
            (a, b),
            Pair(sides[a], sides[b]),
            measures,
            both_ways=inverted_by is None,
            permutations=permutations,
        )
    )
    return _placed(rows, sides, name, architectures, inverted_by)


def score_owner(
    on_targets: Mapping[str, Side],
    on_inverted: Mapping[str, Side],
    measures: Sequence[str],
    *,
    name: str,
    architectures: Mapping[str, str],
    permutations: int,
    inverted_by: str,
) -> pd.DataFrame:
    """The like of `score_pairs` for measures of mechanisms, with the owner of inverted images."""
    rows = (
        row
        for a, b in _pairs(on_inverted, inverted_by)
        for row in score_mechanisms(
            (a, b), on_targets[b], on_inverted[b], measures, permutations=permutations
        )
    )
    return _placed(rows, on_inverted, name, architectures, inverted_by)


def score_together(
    sides: Mapping[str, Side],
    measures: Sequence[str],
    *,
    name: str,
    inverted_by: str | None = None,
) -> pd.DataFrame:
    """A row for every measure of all models together on one input set."""
    where = {"dataset": name, "epsilon": 0.0} | _inputs(name, inverted_by)
    return pd.DataFrame([where | row for row in score_sets(list(sides.values()), measures)])


def stacked(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """The rows of all tables, which have the same columns."""
    held = list(tables)
    # pandas takes the types of columns from empty tables too.
    return pd.concat([t for t in held if len(t)] or held[:1], ignore_index=True)


def _pairs(models: Iterable[str], inverted_by: str | None) -> list[tuple[str, str]]:
    if inverted_by is None:
        return list(combinations(models, 2))
    return [(inverted_by, other) for other in models if other != inverted_by]


def _inputs(name: str, inverted_by: str | None) -> dict[str, Any]:
    return {
        "inputs": "inverted" if inverted_by else "natural",
        "inputs_dataset": name,
        "inverted_by": inverted_by,
    }


def _placed(
    rows: Iterable[Mapping[str, Any]],
    sides: Mapping[str, Side],
    name: str,
    architectures: Mapping[str, str],
    inverted_by: str | None,
) -> pd.DataFrame:
    n_inputs = next(iter(sides.values())).n_inputs
    placed = [
        {
            **row,
            "dataset": name,
            "epsilon": 0.0,
            "architecture_a": architectures[row["model_a"]],
            "architecture_b": architectures[row["model_b"]],
            "random_seed_a": 0,
            "random_seed_b": 0,
            **_inputs(name, inverted_by),
            "n_inputs": n_inputs,
        }
        for row in rows
    ]
    # Where no measure of pairs was asked for, the table is empty and has its columns all the same.
    return tidy(placed) if placed else pd.DataFrame(columns=list(COLUMNS))
