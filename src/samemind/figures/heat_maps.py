"""Heat maps of all pairs: who is like whom, at every ε."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samemind.figures.base import Results, figure
from samemind.figures.matrices import (
    has_several_seeds,
    imported_names,
    matrix_of,
    rows_of_one_place,
    short_names,
    symmetric,
    title_of,
    weak_names,
)
from samemind.figures.style import epsilon_text, measure_label, new_figure
from samemind.lazy import np
from samemind.statistics import cluster_order

if TYPE_CHECKING:
    import matplotlib.figure
    import pandas as pd

MOST_CELLS_WITH_NUMBERS = 150


@figure(
    "heat_maps",
    "Heat maps of pairs",
    shows="One measure for every pair of models at each ε, models ordered so that alike ones "
    "stand together (one order for all panels). On inverted inputs the column is the model whose "
    "inverted images both saw. A star names the ε at which a model is weak; a dagger marks an "
    "imported one.",
    needs=("scores", "several_models"),
    per_measure="only",
)
def heat_maps(results: Results) -> matplotlib.figure.Figure:
    """A matrix of pairs for each ε (columns) and kind of input (rows) of one measure."""
    rows = rows_of_one_place(results)
    measure = str(rows["measure"].iloc[0])
    has_seeds = has_several_seeds(rows)
    names = sorted({*_names(rows, "a", has_seeds), *_names(rows, "b", has_seeds)})
    kinds = [kind for kind in ("natural", "inverted") if (rows["inputs"] == kind).any()]
    levels = sorted(rows["epsilon"].unique())
    matrices = {
        (kind, level): matrix_of(
            rows[(rows["inputs"] == kind) & (rows["epsilon"] == level)], names, has_seeds=has_seeds
        )
        for kind in kinds
        for level in levels
    }
    order = _common_order(list(matrices.values()))
    size = max(1.35, min(2.4, 0.17 * len(names)))
    drawing = new_figure(1.5 + size * len(levels), 1.0 + (size + 0.15) * len(kinds))
    axes = drawing.subplots(len(kinds), len(levels), squeeze=False)
    finite = np.concatenate([m[np.isfinite(m)] for m in matrices.values()])
    scale = {"vmin": float(min(0, finite.min())), "vmax": float(max(1, finite.max()))}
    has_numbers = finite.size <= MOST_CELLS_WITH_NUMBERS
    weak = weak_names(results, rows, has_seeds=has_seeds)
    imported = imported_names(results, rows, has_seeds=has_seeds)
    picture = None
    for row, kind in enumerate(kinds):
        for column, level in enumerate(levels):
            axis = axes[row, column]
            shown = matrices[kind, level][np.ix_(order, order)]
            picture = axis.imshow(shown, cmap="cividis", **scale)
            # Names stand at the outer panels for all levels: a star says at which they are weak.
            labels = [
                names[i]
                + "†" * (names[i] in imported)
                + "".join(f" *{e:g}" for e in levels if (names[i], float(e)) in weak)
                for i in order
            ]
            _label(axis, shown, labels, scale, has_numbers)
            axis.label_outer()
            if row == 0:
                axis.set_title(f"ε = {epsilon_text(level)}", loc="center")
        axes[row, 0].set_ylabel(f"{kind} inputs")
    assert picture is not None
    drawing.suptitle(title_of(results, rows), x=0.01, ha="left", fontsize=8)
    drawing.colorbar(picture, ax=axes, shrink=0.7, label=measure_label(measure), pad=0.02)
    return drawing


def _names(rows: pd.DataFrame, side: str, has_seeds: bool) -> list[str]:
    return short_names(rows, side, has_seeds=has_seeds)


def _common_order(matrices: list[np.ndarray]) -> list[int]:
    stacked = np.stack([symmetric(matrix) for matrix in matrices])
    counts = np.isfinite(stacked).sum(axis=0)
    mean = np.where(counts > 0, np.nansum(stacked, axis=0) / np.maximum(counts, 1), np.nan)
    return cluster_order(mean)


def _label(
    axis: object, shown: np.ndarray, names: list[str], scale: dict[str, float], has_numbers: bool
) -> None:
    from matplotlib.axes import Axes

    assert isinstance(axis, Axes)
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    axis.set_xticks(range(len(names)), names, rotation=90, fontsize=5.5)
    axis.set_yticks(range(len(names)), names, fontsize=5.5)
    if not has_numbers:
        return
    middle = (scale["vmin"] + scale["vmax"]) / 2
    for i, j in np.argwhere(np.isfinite(shown)):
        ink = "white" if shown[i, j] < middle else "black"
        text = f"{shown[i, j]:.2f}".replace("0.", ".", 1)
        axis.text(j, i, text, ha="center", va="center", color=ink, fontsize=4.5, in_layout=False)
