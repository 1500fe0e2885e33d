"""The data inside the page: the table of scores, and the images that explain it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from samemind.figures.base import Results, pair_keys
from samemind.figures.boxes import measures_in
from samemind.figures.evidence import levels_of
from samemind.figures.gallery import KINDS
from samemind.figures.matrices import has_several_seeds, matrix_of, short_names, symmetric
from samemind.figures.style import measure_label
from samemind.lazy import np, pd
from samemind.measures.kinds import record_of
from samemind.reporting.layer_maps import maps_of as maps_of_layers
from samemind.reporting.sheets import Sheets, sheets_of
from samemind.statistics import classical_map, cluster_order, normalised

CELL = ["dataset", "inputs_dataset", "inputs", "measure", "epsilon"]
LISTED = (
    "dataset", "model_a", "model_b", "architecture_a", "architecture_b", "inputs",
    "inputs_dataset", "inverted_by", "layer", "measure", "reason",
)  # fmt: skip
NUMBERS = (
    "epsilon", "random_seed_a", "random_seed_b", "score", "standard_error", "floor",
    "floor_p95", "n_inputs",
)  # fmt: skip
MODEL_FACTS = [
    "model", "dataset", "architecture", "epsilon", "random_seed", "parameters",
    "representation_size", "clean_accuracy", "adversarial_accuracy", "is_weak",
]  # fmt: skip
EXTREMES = 6
# Of the maps of layers; `floor` is what 95 % of shuffled inputs stay below.
LAYER_NUMBERS = {
    "score": "score", "standard_error": "standard_error", "floor": "floor_p95",
    "p_value": "p_value", "p_map": "p_map",
}  # fmt: skip
MOST_LAYER_CELLS = 60_000  # each takes about 40 bytes
FEWEST_ON_A_MAP = 3
SHOWN_NEIGHBOURS = 3
MOST_IMAGE_CHARACTERS = 4_000_000  # so that the page stays below 15 MB whatever the images are


def embedded(study: Results) -> dict[str, Any]:
    """Everything that the page's script reads, as plain JSON values; empty numbers are None."""
    rows = study.main.reset_index(drop=True)  # the first rows of scores.parquet
    cells = cells_of(study)
    driving = driving_of(study, rows)
    sheets = _sheets(study, driving)
    measures = _measures_of(study, rows)
    return {
        "scores": columns_of(rows) | {"normalised": plain(normalised_column(rows, cells))},
        "lists": {name: lists_of(rows[name])[1] for name in LISTED},
        "cells": {"|".join(key_texts(key)): cell for key, cell in cells.items()},
        "labels": {name: measure_label(name) for name in measures},
        "measures": {name: said_of(name) for name in measures},
        "layer_maps": layer_maps_of(study),
        "orders": orders_of(study),
        "maps": maps_of(study),
        "has_seeds": has_several_seeds(rows),
        "models": [
            dict(zip(MODEL_FACTS, map(plain_value, record), strict=True))
            for record in study.models[MODEL_FACTS].itertuples(index=False, name=None)
        ],
        "driving": driving_columns(driving, sheets),
        "gallery": gallery_of(study, sheets),
        "images": sheets.as_record(),
    }


def _measures_of(study: Results, rows: pd.DataFrame) -> list[str]:
    """The measures of pairs, and of layers."""
    layers = [] if study.layers is None else measures_in(study.layers)
    return list(dict.fromkeys([*measures_in(rows), *layers]))


def said_of(name: str) -> dict[str, Any]:
    """What a measure sees and does not see, and in which direction it goes."""
    record = record_of(name)
    return {
        "sees": record.get("sees") or record.get("summary", "").rstrip("."),
        "cannot_see": record.get("cannot_see", ""),
        "larger_is_more_similar": record["larger_is_more_similar"],
    }


def layer_maps_of(study: Results) -> list[dict[str, Any]]:
    """The maps of layers, cells row by row; those that the page has room for, the first ones."""
    found: list[dict[str, Any]] = []
    room = MOST_LAYER_CELLS
    for one in [] if study.layers is None else maps_of_layers(study.layers):
        room -= one.scores.size
        if room < 0:
            break
        told = {
            name: [plain_value(_rounded(value)) for value in one.wide(column).ravel()]
            for name, column in LAYER_NUMBERS.items()
            if column in one.table and one.table[column].notna().any()
        }
        if one.has_chance:
            marks = (one.is_chance, one.is_best, one.is_tied)
            names = ("is_chance", "is_best", "is_tied")
            told |= {n: [int(v) for v in m.ravel()] for n, m in zip(names, marks, strict=True)}
        found.append(
            {
                "model_a": one.place[-2],
                "model_b": one.place[-1],
                "of": ", ".join(one.place[:-2]),
                "measure": str(one.table["measure"].iloc[0]),
                "rows": list(one.rows),
                "columns": list(one.columns),
                **told,
            }
        )
    return found


def _rounded(value: float) -> float:
    return float(f"{value:.5g}")


def columns_of(rows: pd.DataFrame) -> dict[str, list[Any]]:
    """The table as columns; repeated texts as places in the lists of `lists_of`."""
    listed = {name: lists_of(rows[name])[0] for name in LISTED}
    return listed | {name: plain(rows[name]) for name in NUMBERS}


def lists_of(column: pd.Series) -> tuple[list[int], list[str | None]]:
    """Places, and the distinct values that they point to; what is missing is None."""
    codes, values = pd.factorize(column, use_na_sentinel=True)
    names: list[str | None] = [str(value) for value in values]
    if (codes < 0).any():
        names.append(None)
        codes = np.where(codes < 0, len(names) - 1, codes)
    return [int(code) for code in codes], names


def plain(values: Sequence[Any] | pd.Series) -> list[Any]:
    """Numbers as JSON has them: full precision, and None for what is not finite."""
    return [plain_value(value) for value in values]


def plain_value(value: Any) -> Any:
    """One value as JSON has it."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    number = float(value)
    if not np.isfinite(number):
        return None
    return int(number) if number.is_integer() else number


def key_texts(key: Sequence[Any]) -> list[str]:
    """The parts of a cell's key as the page's script writes them."""
    return [str(plain_value(part)) for part in key]


def cells_of(study: Results) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Floor and ceiling of every cell: one dataset, kind of inputs, measure and ε."""
    return {
        key: {name: plain_value(value) for name, value in levels_of(part).items()}
        for key, part in study.defined.groupby(CELL, sort=False)
    }  # pyright: ignore[reportReturnType]


def normalised_column(
    rows: pd.DataFrame, cells: dict[tuple[Any, ...], dict[str, Any]]
) -> list[float]:
    """Each score on the way from its cell's floor to its cell's ceiling."""
    nan = float("nan")
    keys = list(zip(*(rows[name] for name in CELL), strict=True))
    floors = [cells.get(key, {}).get("floor") for key in keys]
    ceilings = [cells.get(key, {}).get("ceiling") for key in keys]
    return normalised(
        rows["score"].to_numpy(dtype=float),
        np.array([nan if value is None else value for value in floors]),
        np.array([nan if value is None else value for value in ceilings]),
    ).tolist()


def orders_of(study: Results) -> dict[str, list[str]]:
    """For each dataset and measure the order of models in which alike ones stand together."""
    found = {}
    rows = study.defined
    has_seeds = has_several_seeds(rows) if len(rows) else False
    for key, part in rows.groupby(["dataset", "inputs_dataset", "measure"], sort=False):
        dataset, inputs_dataset, measure = map(str, key)  # pyright: ignore[reportArgumentType]
        names = sorted(
            {
                *short_names(part, "a", has_seeds=has_seeds),
                *short_names(part, "b", has_seeds=has_seeds),
            }
        )
        matrices = np.stack(
            [
                symmetric(matrix_of(cell, names, has_seeds=has_seeds))
                for _, cell in part.groupby(["inputs", "epsilon"])
            ]
        )
        counts = np.isfinite(matrices).sum(axis=0)
        mean = np.where(counts > 0, np.nansum(matrices, axis=0) / np.maximum(counts, 1), np.nan)
        place = dataset if dataset == inputs_dataset else f"{dataset} on {inputs_dataset}"
        found[f"{place}|{measure}"] = [names[i] for i in cluster_order(mean)]
    return found


def maps_of(study: Results) -> dict[str, dict[str, Any]]:
    """For each cell of three models or more, where its models lie on the map of the figures."""
    found = {}
    for key, part in study.defined.groupby(CELL, sort=False):
        names = sorted({*part["model_a"], *part["model_b"]})
        if len(names) < FEWEST_ON_A_MAP:
            continue
        place = {name: i for i, name in enumerate(names)}
        matrix = np.full((len(names), len(names)), np.nan)
        pairs = part[["model_a", "model_b", "score"]].itertuples(index=False, name=None)
        for a, b, score in pairs:
            matrix[place[b], place[a]] = score
        positions, kept = classical_map(symmetric(matrix))
        found["|".join(key_texts(list(key)))] = {  # pyright: ignore[reportArgumentType]
            "models": names,
            "x": [round(float(x), 4) for x in positions[:, 0]],
            "y": [round(float(y), 4) for y in positions[:, 1]],
            "kept": plain_value(kept),
        }
    return found


def driving_of(study: Results, rows: pd.DataFrame) -> pd.DataFrame:
    """The inputs that contribute least and most to the score of a row, at most six at each end.

    A row per (row of scores, end, input), in the order in which the page shows them, with the
    columns of the contributions and `row` (number in `rows`), `end` ("least" or "most"), `rank`
    within the end, and `key` (of the image).
    """
    if study.contributions is None:
        return pd.DataFrame(columns=["row", "end", "rank", "key"])
    table = study.contributions.table
    table = table[np.isfinite(table["contribution"].to_numpy(dtype=float))]
    places = {key: row for row, key in reversed(list(enumerate(pair_keys(rows))))}
    numbers = [places.get(key, -1) for key in pair_keys(table)]
    table = table.assign(row=numbers)[np.array(numbers, dtype=int) >= 0]
    table = table.sort_values(["row", "contribution", "input"], kind="stable")
    groups = table.groupby("row", sort=False)
    up = groups.cumcount()
    down = groups["input"].transform("size") - 1 - up
    shown = np.minimum(EXTREMES, groups["input"].transform("size") // 2)
    least = table.assign(end="least", rank=up)[up < shown]
    most = table.assign(end="most", rank=down)[down < shown]
    chosen = pd.concat([least, most]).sort_values(["row", "end", "rank"], ignore_index=True)
    keys = [study.contributions.image_key(record) for record in chosen.to_dict("records")]
    return chosen.assign(key=keys)


def _sheets(study: Results, driving: pd.DataFrame) -> Sheets:
    """The images of the gallery and of driving inputs, for every pair the foremost first."""
    gallery: dict[Any, np.ndarray] = {
        ("gallery", place, kind): getattr(item, kind)
        for place, item in enumerate(study.gallery)
        for kind in KINDS
    }
    held = study.contributions.images if study.contributions is not None else {}
    wanted = driving.sort_values("rank", kind="stable")["key"]
    keys = [*gallery, *(key for key in dict.fromkeys(wanted) if key in held)]
    return sheets_of(
        keys,
        lambda key: gallery[key] if key in gallery else held[key],
        most_characters=MOST_IMAGE_CHARACTERS,
    )


def driving_columns(driving: pd.DataFrame, sheets: Sheets) -> dict[str, Any]:
    """The table of `driving_of` as columns; `tile` is where the image is, or None.

    The inputs of one row of scores stand together: `rows` has (row, how many contribute least,
    how many most) for each, in the same order.
    """
    ends = driving.groupby(["row", "end"], sort=False).size().unstack(fill_value=0)
    found: dict[str, Any] = {
        "rows": [[int(row), *map(int, counts)] for row, *counts in ends.itertuples()],
        "tile": [sheets.places.get(key) for key in driving["key"]],
        "names": {},
    }
    if not len(driving):
        return found
    found["input"] = [int(number) for number in driving["input"]]
    # Five digits: a reader ranks by them, and contributions.parquet has the rest.
    found["contribution"] = [float(f"{value:.5g}") for value in driving["contribution"]]
    for name in ("label", "prediction_a", "prediction_b"):
        if name in driving:
            found[name], found["names"][name] = lists_of(driving[name])
    for name in ("neighbours_a", "neighbours_b"):
        if name in driving:
            found[name] = [
                [int(number) for number in held[:SHOWN_NEIGHBOURS]]
                if isinstance(held, (list, tuple, np.ndarray))
                else None
                for held in driving[name]
            ]
    return found


def gallery_of(study: Results, sheets: Sheets) -> list[dict[str, Any]]:
    """The gallery's inversions, with where their images are."""
    return [
        {
            "model": item.model,
            "seed_label": item.seed_label,
            "target_label": item.target_label,
        }
        | {kind: sheets.places.get(("gallery", place, kind)) for kind in KINDS}
        for place, item in enumerate(study.gallery)
    ]
