"""What a map of layers says: where it is beyond chance, what is known to be best, and the path."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from samemind.lazy import np, pd
from samemind.measures.base import MEASURES
from samemind.statistics.verdict import ALPHA


@dataclass(frozen=True, eq=False)
class Map:
    """A map of one pair of models, `(R, C)` each.

    - `is_chance`: the cell is not beyond what 5 % of shuffled inputs reach in it.
    - `is_best`: known to be the best of its row; `is_tied`: not told apart from the best.
    """

    place: tuple[str, ...]
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    scores: np.ndarray
    is_chance: np.ndarray
    is_best: np.ndarray
    is_tied: np.ndarray
    table: pd.DataFrame

    def wide(self, column: str) -> np.ndarray:
        """A column of its table, a cell for every two layers."""
        wide = self.table.pivot(index="layer_a", columns="layer_b", values=column)
        return wide.loc[list(self.rows), list(self.columns)].to_numpy(dtype=float)

    @property
    def best(self) -> pd.Series:
        """The most alike cell, as a row of the table."""
        scores = self.table["score"]
        is_larger = MEASURES[str(self.table["measure"].iloc[0])].larger_is_more_similar
        return self.table.iloc[int(scores.argmax() if is_larger else scores.argmin())]

    @property
    def has_chance(self) -> bool:
        """Whether it says what is beyond chance; of older results it does not."""
        return "p_map" in self.table and bool(self.table["p_map"].notna().any())

    @property
    def is_told(self) -> bool:
        """Whether the most alike cell is beyond chance in the whole map."""
        return self.has_chance and bool(self.best["p_map"] < ALPHA)


def map_of(part: pd.DataFrame, place: tuple[str, ...] = ()) -> Map:
    """The map of the rows of one pair."""
    rows, columns = (tuple(dict.fromkeys(part[name])) for name in ("layer_a", "layer_b"))

    def matrix(values: pd.Series) -> np.ndarray:
        wide = part.assign(_value=values).pivot(index="layer_a", columns="layer_b", values="_value")
        return wide.loc[list(rows), list(columns)].to_numpy()

    nothing = pd.Series(False, index=part.index)
    is_chance = part["p_value"] >= ALPHA if "p_value" in part else nothing
    is_best, is_tied = (part.get(name, nothing) for name in ("is_best", "is_tied"))
    return Map(
        place, rows, columns, matrix(part["score"]).astype(float), matrix(is_chance).astype(bool),
        matrix(is_best).astype(bool), matrix(is_tied).astype(bool), part,
    )  # fmt: skip


def maps_of(layers: pd.DataFrame) -> Iterator[Map]:
    """The map of every pair, and of every reading and input set where there are several."""
    also = ("dataset", "epsilon", "inputs", "inverted_by", "reading")
    keys = [name for name in also if name in layers and layers[name].nunique(dropna=False) > 1]
    keys += ["model_a", "model_b"]
    for key, part in layers.groupby(keys, sort=False, dropna=False):
        if part["score"].isna().all():  # nothing of it is most alike
            continue
        yield map_of(part, tuple(map(str, key)))  # pyright: ignore[reportArgumentType]


def summary_of(layers: pd.DataFrame) -> pd.DataFrame:
    """A row per map: its most alike layers with p, how many rows have a known best, the path."""
    rows = []
    for one in maps_of(layers):
        best = one.best
        row = {
            "pair": f"{one.place[-2]} – {one.place[-1]}",
            **({"of": ", ".join(one.place[:-2])} if len(one.place) > 2 else {}),
            "layers": f"{len(one.rows)} × {len(one.columns)}",
            "most alike": f"{best['layer_a']} – {best['layer_b']}",
            "measure": best["measure"],
            "score": best["score"],
        }
        if "p_map" in one.table:
            row |= {
                "standard error": best["standard_error"],
                "floor 95 %": best["floor_p95"],
                "p in map": best["p_map"],
                "rows with a known best": int(one.is_best.sum()),
                "cells within the floor": int(one.is_chance.sum()),
                "path": best["path_score"],
                "p of path": best["path_p_value"],
            }
        rows.append(row)
    return pd.DataFrame(rows)
