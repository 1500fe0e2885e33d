"""Trends and levels from the table of scores: a row per measure and setting.

The statistics themselves are in `samemind.statistics`, without tables; here the rows that belong
together are put into their hands.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from samemind.figures.base import Results
from samemind.lazy import np, pd

if TYPE_CHECKING:
    from samemind.statistics import PairScores, Trend

SETTING = ["dataset", "inputs_dataset", "inputs", "measure"]
ALL, COMMON = "all", "present at every ε"
NAN = float("nan")


def unit_names(rows: pd.DataFrame, side: str) -> list[str]:
    """What is resampled: architectures, or single models where there are fewer than three.

    Random seeds of one architecture are not independent draws from "models that could be": their
    scores are averaged, and the architectures are resampled.
    """
    architectures = {*rows["architecture_a"], *rows["architecture_b"]}
    names = rows[f"architecture_{side}"].astype(str)
    if len(architectures) >= 3:
        return names.tolist()
    return (names + " " + rows[f"random_seed_{side}"].astype(str)).tolist()


def pairs_of(rows: pd.DataFrame) -> PairScores:
    """The scores of one setting as matrices, for `samemind.statistics`."""
    from samemind.statistics import pair_scores

    return pair_scores(
        rows["epsilon"].tolist(),
        unit_names(rows, "a"),
        unit_names(rows, "b"),
        rows["score"].tolist(),
    )


def accuracy_gaps(results: Results, rows: pd.DataFrame) -> PairScores:
    """By how much the clean accuracies of the two models of each row differ, as `pairs_of` has it.

    Pairs of models whose accuracy is not known have none.
    """
    from samemind.statistics import pair_scores

    of = results.models.set_index(["dataset", "model"])["clean_accuracy"]
    of = of[~of.index.duplicated()]
    first, second = (
        of.reindex(pd.MultiIndex.from_frame(rows[["dataset", f"model_{side}"]])).to_numpy(float)
        for side in "ab"
    )
    return pair_scores(
        rows["epsilon"].tolist(),
        unit_names(rows, "a"),
        unit_names(rows, "b"),
        np.abs(first - second).tolist(),
    )


def _beside(pairs: PairScores, gaps: PairScores) -> dict[str, float]:
    """The change at equal differences of accuracy, and what such a difference does to a score."""
    from samemind.statistics.trends import beside

    names = ("beside_accuracy", "beside_lower", "beside_upper", "accuracy_slope")
    if (pairs.units, pairs.levels) != (gaps.units, gaps.levels):
        return dict.fromkeys(names, NAN)
    change, slope = beside(pairs, gaps)
    found = change.interval()
    return dict(zip(names, (found.value, found.lower, found.upper, slope.value), strict=True))


def settings_of(results: Results) -> Iterator[tuple[dict[str, str], pd.DataFrame]]:
    """Each (dataset, dataset of the inputs, inputs, measure) with its rows, natural first."""
    rows = results.defined.assign(_late=results.defined["inputs"] != "natural")
    for key, part in rows.groupby(["_late", *SETTING], sort=False):
        yield dict(zip(SETTING, map(str, list(key)[1:]), strict=True)), part  # pyright: ignore[reportArgumentType]


@lru_cache(maxsize=4)
def trend_table(results: Results) -> pd.DataFrame:
    """A row per setting and set of models: trend, level at the highest ε, floor and ceiling."""
    from samemind.statistics import trend

    found = []
    for setting, rows in settings_of(results):
        pairs, gaps = pairs_of(rows), accuracy_gaps(results, rows)
        sets = {ALL: (pairs, gaps)}
        if np.isfinite(pairs.scores).any(axis=2).all(axis=0).sum() < len(pairs.units):
            sets[COMMON] = (pairs.common(), gaps.common())
        top = rows[rows["epsilon"] == rows["epsilon"].max()]
        bounds = levels_of(top)
        for models, (chosen, covariate) in sets.items():
            if len(chosen.units) > 1:
                counts = {"n_pairs": scores_used(rows, chosen)}
                row = _row(trend(chosen), chosen) | _beside(chosen, covariate)
                found.append(setting | {"models": models} | bounds | row | counts)
    return pd.DataFrame(found)


def scores_used(rows: pd.DataFrame, pairs: PairScores) -> int:
    """How many scores the matrices of `pairs_of` are made from, over all ε.

    Of two directions and of several random seeds each counts, though they are averaged.
    """
    units = set(pairs.units)
    return sum(
        a != b and a in units and b in units
        for a, b in zip(unit_names(rows, "a"), unit_names(rows, "b"), strict=True)
    )


def levels_of(rows: pd.DataFrame) -> dict[str, float | bool]:
    """The floor and the ceiling that rows of one cell and measure have.

    Without pairs that differ by their random seed alone the ceiling is 1, the similarity of
    identical models, and `is_ceiling_measured` is False.
    """
    from samemind.statistics import ceiling

    architectures = {*rows["architecture_a"], *rows["architecture_b"]}
    top = ceiling(
        rows["score"].to_numpy(dtype=float),
        (rows["architecture_a"] == rows["architecture_b"]).to_numpy(),
        (rows["random_seed_a"] == rows["random_seed_b"]).to_numpy(),
    )
    is_measured = bool(top == top) and len(architectures) > 1
    return {
        "floor": float(rows["floor"].mean()),
        "ceiling": top if is_measured else 1.0,
        "is_ceiling_measured": is_measured,
    }


def _row(found: Trend, pairs: PairScores) -> dict[str, object]:
    return {
        "first_epsilon": pairs.levels[0],
        "last_epsilon": pairs.levels[-1],
        "first": found.first.value,
        "last": found.last.value,
        "difference": found.difference.value,
        "change": found.change.value,
        "lower": found.change.lower,
        "upper": found.change.upper,
        "p_value": found.p_value,
        "effect": found.effect,
        "share_rising": found.share_rising,
        "n_models": found.n_units,
        "n_levels": found.n_levels,
        "trend": found,
    }
