"""Matrices of pairs, for heat maps and maps of models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samemind.figures.style import place_label
from samemind.lazy import np

if TYPE_CHECKING:
    import pandas as pd

    from samemind.figures.base import Results


def short_names(rows: pd.DataFrame, side: str, *, has_seeds: bool) -> list[str]:
    """Architecture, and the random seed where there are several: ε is said elsewhere."""
    names = rows[f"architecture_{side}"].astype(str)
    if has_seeds:
        names = names + " #" + rows[f"random_seed_{side}"].astype(str)
    return names.tolist()


def weak_names(results: Results, rows: pd.DataFrame, *, has_seeds: bool) -> set[tuple[str, float]]:
    """(short name, ε) of the weak models among those of the rows."""
    found = set()
    for side in "ab":
        names = short_names(rows, side, has_seeds=has_seeds)
        models = zip(rows["dataset"], rows[f"model_{side}"], strict=True)
        for name, model, level in zip(names, models, rows["epsilon"], strict=True):
            if model in results.weak_models:
                found.add((name, float(level)))
    return found


def imported_names(results: Results, rows: pd.DataFrame, *, has_seeds: bool) -> set[str]:
    """Short names of the imported models of the rows, where not all models are that."""
    if len(results.imported_models) == len(results.models):
        return set()
    return {
        name
        for side in "ab"
        for name, dataset, model in zip(
            short_names(rows, side, has_seeds=has_seeds), rows["dataset"], rows[f"model_{side}"],
            strict=True,
        )
        if (dataset, model) in results.imported_models
    }  # fmt: skip


def has_several_seeds(rows: pd.DataFrame) -> bool:
    """Whether one architecture occurs with more than one random seed."""
    return len({*rows["random_seed_a"], *rows["random_seed_b"]}) > 1


def matrix_of(rows: pd.DataFrame, names: list[str], *, has_seeds: bool) -> np.ndarray:
    """Scores as (n, n) in the order of `names`; NaN on the diagonal and for missing pairs.

    Natural inputs fill both halves. On inverted inputs the column is the model whose inverted
    images both saw, as in the paper's tables.
    """
    place = {name: i for i, name in enumerate(names)}
    matrix = np.full((len(names), len(names)), np.nan)
    a = short_names(rows, "a", has_seeds=has_seeds)
    b = short_names(rows, "b", has_seeds=has_seeds)
    for left, right, score, inputs in zip(a, b, rows["score"], rows["inputs"], strict=True):
        i, j = place[left], place[right]
        matrix[j, i] = score
        if inputs == "natural" and np.isnan(matrix[i, j]):
            matrix[i, j] = score
    return matrix


def symmetric(matrix: np.ndarray) -> np.ndarray:
    """The mean of both directions, or the one that is there."""
    both = np.stack([matrix, matrix.T])
    counts = np.isfinite(both).sum(axis=0)
    return np.where(counts > 0, np.nansum(both, axis=0) / np.maximum(counts, 1), np.nan)


def rows_of_one_place(results: Results) -> pd.DataFrame:
    """The rows that have a score; of several datasets the first one on its own inputs."""
    rows = results.defined
    dataset = rows["dataset"].iloc[0]
    own = rows[(rows["dataset"] == dataset) & (rows["inputs_dataset"] == dataset)]
    return own if len(own) else rows[rows["dataset"] == dataset]


def title_of(results: Results, rows: pd.DataFrame) -> str:
    """The dataset of the rows and of their inputs, where panels name datasets; else nothing."""
    if not results.has_named_places:
        return ""
    return place_label(str(rows["dataset"].iloc[0]), str(rows["inputs_dataset"].iloc[0]))
