"""What figures and the report compute from the table of scores: trends, levels, the verdict.

The statistics themselves are in `samemind.statistics`, without tables; here the rows that belong
together are put into their hands.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from samemind.figures._boxes import across_architectures
from samemind.figures._needs import PREDICTIONS
from samemind.figures._predictions import pair_bounds
from samemind.figures.base import Results
from samemind.figures.style import measure_label
from samemind.lazy import LazyModule

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from samemind.statistics import Evidence, PairScores, Trend, Verdict
else:
    np = LazyModule("numpy")
    pd = LazyModule("pandas")

SETTING = ["dataset", "inputs_dataset", "inputs", "measure"]
ALL, COMMON = "all", "present at every ε"
NAN = float("nan")


def representation_measures(measures: Sequence[str]) -> list[str]:
    """The paper's three measures on representations, as far as they are among `measures`.

    Of the two estimators of linear CKA the debiased one, which is also the one that the paper's
    authors ran: the other has a floor that grows with the width of the representation.
    """
    cka = [name for name in ("debiased_linear_cka", "linear_cka") if name in measures][:1]
    others = [name for name in ("procrustes_similarity", "knn_jaccard") if name in measures]
    if "knn_jaccard" not in measures:
        others += [name for name in measures if name.startswith("knn_jaccard")][:1]
    return cka + others


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
        pairs = pairs_of(rows)
        sets = {ALL: pairs}
        if np.isfinite(pairs.scores).any(axis=2).all(axis=0).sum() < len(pairs.units):
            sets[COMMON] = pairs.common()
        top = rows[rows["epsilon"] == rows["epsilon"].max()]
        bounds = levels_of(top)
        for models, chosen in sets.items():
            if len(chosen.units) > 1:
                found.append(setting | {"models": models} | bounds | _row(trend(chosen), chosen))
    return pd.DataFrame(found)


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
        "change": found.change.value,
        "lower": found.change.lower,
        "upper": found.change.upper,
        "p_value": found.p_value,
        "effect": found.effect,
        "share_rising": found.share_rising,
        "n_models": found.n_units,
        "n_pairs": found.n_pairs,
        "n_levels": found.n_levels,
        "trend": found,
    }


ASPECTS = {
    "Predictions": ("natural", "predictions"),
    "Representations": ("natural", "representations"),
    "Representation mechanisms": ("inverted", "representations"),
}


@lru_cache(maxsize=4)
def verdicts(results: Results) -> list[tuple[str, Verdict]]:
    """(dataset, verdict) for each dataset and aspect, on inputs of the models' own dataset.

    Where the models change with ε, the verdict rests on those present at every ε.
    """
    from samemind.statistics import Evidence, holm, judge

    table = trend_table(results)
    found = []
    for dataset in results.models["dataset"].unique():
        for aspect, (inputs, kind) in ASPECTS.items():
            rows = _chosen(table, str(dataset), inputs)
            measures = rows["measure"].tolist() if len(rows) else []
            wanted = (
                [name for name in PREDICTIONS if name in measures]
                if kind == "predictions"
                else representation_measures(measures)
            )
            records = [rows[rows["measure"] == name].iloc[0] for name in wanted]
            corrected = holm([record["p_value"] for record in records])
            evidence = [
                Evidence(
                    measure=str(record["measure"]),
                    trend=record["trend"],
                    floor=record["floor"],
                    ceiling=record["ceiling"],
                    is_ceiling_measured=bool(record["is_ceiling_measured"]),
                    p_value=p_value,
                )
                for record, p_value in zip(records, corrected, strict=True)
            ]
            missing = [] if len(rows) else [f"scores on {inputs} inputs"]
            labels = [measure_label(name) for name in wanted]
            evidence = [_beyond_accuracy(results, item, str(dataset), inputs) for item in evidence]
            found.append((str(dataset), judge(aspect, evidence, labels, missing)))
    return found


def _beyond_accuracy(results: Results, item: Evidence, dataset: str, inputs: str) -> Evidence:
    """The evidence on agreement, with the floor and the bound that accuracies impose.

    Two models that are right on 97 % of the inputs agree on at least 94 %, however little alike
    they are. So the floor is the agreement of independent predictions of these accuracies, and
    without other random seeds the ceiling is the most that accuracies allow.
    """
    rows = results.defined
    rows = rows[(rows["dataset"] == dataset) & (rows["inputs"] == inputs)]
    rows = rows[(rows["measure"] == item.measure) & (rows["inputs_dataset"] == dataset)]
    if item.measure != "agreement" or inputs != "natural" or not len(rows):
        return item
    top = rows[rows["epsilon"] == rows["epsilon"].max()]
    bounds = pair_bounds(results, across_architectures(top))
    floor, ceiling = float(bounds["fort_lower"].mean()), float(bounds["hard_upper"].mean())
    if floor != floor:
        return item
    return replace(
        item,
        floor=floor,
        ceiling=item.ceiling if item.is_ceiling_measured else ceiling,
        floor_is="independent predictions of these accuracies",
        ceiling_is="the most that accuracies allow",
    )


def _chosen(table: pd.DataFrame, dataset: str, inputs: str) -> pd.DataFrame:
    if not len(table):
        return table
    rows = table[
        (table["dataset"] == dataset)
        & (table["inputs_dataset"] == dataset)
        & (table["inputs"] == inputs)
    ]
    common = rows[rows["models"] == COMMON]
    return common if len(common) else rows
