"""The data inside the page: the table of scores, and the images that explain it."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from samemind.figures._boxes import measures_in
from samemind.figures._matrices import has_several_seeds, matrix_of, short_names, symmetric
from samemind.figures._style import as_picture, measure_label
from samemind.figures.base import PAIR_COLUMNS, Results
from samemind.figures.evidence import levels_of
from samemind.lazy import LazyModule
from samemind.statistics import cluster_order, normalised

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
else:
    np = LazyModule("numpy")
    pd = LazyModule("pandas")

CELL = ["dataset", "inputs_dataset", "inputs", "measure", "epsilon"]
LISTED = (
    "dataset", "model_a", "model_b", "architecture_a", "architecture_b", "inputs",
    "inputs_dataset", "inverted_by", "layer", "measure", "reason",
)  # fmt: skip
NUMBERS = (
    "epsilon", "random_seed_a", "random_seed_b", "score", "standard_error", "floor", "n_inputs",
)  # fmt: skip
MODEL_FACTS = [
    "model", "dataset", "architecture", "epsilon", "random_seed", "parameters",
    "representation_size", "clean_accuracy", "adversarial_accuracy", "is_weak",
]  # fmt: skip
EXTREMES = 6
MOST_IMAGE_CHARACTERS = 5_000_000  # so that the page stays below 15 MB whatever the images are


class Images(dict[str, str]):
    """Images by name, as addresses that hold them, as long as there is room in the page."""

    size = 0

    def keep(self, name: str, address: str) -> None:
        """Adds an image, unless the page would grow too large."""
        if self.size + len(address) <= MOST_IMAGE_CHARACTERS:
            self.size += len(address)
            self[name] = address


def embedded(study: Results) -> dict[str, Any]:
    """Everything that the page's script reads, as plain JSON values; empty numbers are None."""
    rows = study.scores.reset_index(drop=True)
    cells = cells_of(study)
    images = Images()
    return {
        "scores": columns_of(rows) | {"normalised": plain(normalised_column(rows, cells))},
        "lists": {name: lists_of(rows[name])[1] for name in LISTED},
        "cells": {"|".join(key_texts(key)): cell for key, cell in cells.items()},
        "labels": {name: measure_label(name) for name in measures_in(rows)},
        "orders": orders_of(study),
        "has_seeds": has_several_seeds(rows),
        "models": [
            dict(zip(MODEL_FACTS, map(plain_value, record), strict=True))
            for record in study.models[MODEL_FACTS].itertuples(index=False, name=None)
        ],
        "contributions": contributions_of(study, images),
        "gallery": gallery_of(study, images),
        "images": images,
    }


def columns_of(rows: pd.DataFrame) -> dict[str, list]:
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


def cells_of(study: Results) -> dict[tuple, dict[str, Any]]:
    """Floor and ceiling of every cell: one dataset, kind of inputs, measure and ε."""
    return {
        key: {name: plain_value(value) for name, value in levels_of(part).items()}
        for key, part in study.defined.groupby(CELL, sort=False)
    }  # pyright: ignore[reportReturnType]


def normalised_column(rows: pd.DataFrame, cells: dict[tuple, dict[str, Any]]) -> list[float]:
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


def contributions_of(study: Results, images: Images) -> list[dict[str, Any]]:
    """For each pair and measure the inputs that contribute least and most, with their images."""
    if study.contributions is None:
        return []
    found = []
    for key, part in study.contributions.table.groupby(
        list(PAIR_COLUMNS), dropna=False, sort=False
    ):
        ranked = part.sort_values(["contribution", "input"])
        shown = min(EXTREMES, len(ranked) // 2)
        facts = dict(zip(PAIR_COLUMNS, map(plain_value_or_text, list(key)), strict=True))  # pyright: ignore[reportArgumentType]
        found.append(
            facts
            | {
                "least": [_input(study, record, images) for record in _records(ranked[:shown])],
                "most": [
                    _input(study, record, images)
                    for record in _records(ranked[len(ranked) - shown :])[::-1]
                ],
            }
        )
    return found


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def _input(study: Results, record: dict[str, Any], images: Images) -> dict[str, Any]:
    assert study.contributions is not None
    place = study.contributions.image_key(record)
    name = "|".join(map(str, place))
    picture = study.contributions.images.get(place)
    if picture is not None and name not in images:
        images.keep(name, png_uri(picture))
    kept: dict[str, Any] = {
        "input": int(record["input"]),
        "contribution": plain_value(record["contribution"]),
        "image": name,
    }
    for field in ("label", "prediction_a", "prediction_b"):
        if field in record:
            kept[field] = str(record[field])
    for field in ("neighbours_a", "neighbours_b"):
        if isinstance(record.get(field), (list, tuple, np.ndarray)):
            kept[field] = [int(number) for number in record[field]]
    return kept


def plain_value_or_text(value: Any) -> Any:
    """A number or a text; None for what is missing."""
    return None if value is None or value != value else plain_value(value)


def gallery_of(study: Results, images: Images) -> list[dict[str, Any]]:
    """The gallery's inversions, with their images."""
    found = []
    for place, item in enumerate(study.gallery):
        entry: dict[str, Any] = {
            "model": item.model, "seed_label": item.seed_label, "target_label": item.target_label,
        }  # fmt: skip
        for kind in ("seed", "target", "inverted"):
            name = f"gallery|{place}|{kind}"
            images[name] = png_uri(getattr(item, kind))
            entry[kind] = name
        found.append(entry)
    return found


def png_uri(image: np.ndarray) -> str:
    """A small image as the address of a PNG."""
    from PIL import Image

    held = io.BytesIO()
    Image.fromarray((as_picture(image) * 255).round().astype("uint8")).save(held, "PNG")
    return "data:image/png;base64," + base64.b64encode(held.getvalue()).decode("ascii")
