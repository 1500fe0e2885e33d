"""Heat maps of all pairs: who is like whom, at every ε."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from samemind.figures._naming import LETTER
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
from samemind.figures.style import (
    INPUT_KINDS,
    PLAIN,
    SMALLEST,
    epsilon_text,
    measure_label,
    new_figure,
)
from samemind.figures.widths import width_or
from samemind.lazy import np
from samemind.statistics import cluster_order

if TYPE_CHECKING:
    import matplotlib.figure
    import pandas as pd
    from matplotlib.axes import Axes

MOST_CELLS_WITH_NUMBERS = 150
BAR_BELOW = 4.0  # inches: a narrower figure has its colours below


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
    kinds = [kind for kind in INPUT_KINDS if (rows["inputs"] == kind).any()]
    levels = sorted(rows["epsilon"].unique())
    matrices = {
        (kind, level): matrix_of(
            rows[(rows["inputs"] == kind) & (rows["epsilon"] == level)], names, has_seeds=has_seeds
        )
        for kind in kinds
        for level in levels
    }
    order = _common_order(list(matrices.values()))
    drawing, axes = _panels(names, kinds, levels)
    finite = np.concatenate([m[np.isfinite(m)] for m in matrices.values()])
    scale: dict[str, Any] = {
        "vmin": float(min(0, finite.min())),
        "vmax": float(max(1, finite.max())),
    }
    weak = weak_names(results, rows, has_seeds=has_seeds)
    imported = imported_names(results, rows, has_seeds=has_seeds)
    picture = None
    for (kind, level), axis in axes.items():
        shown = matrices[kind, level][np.ix_(order, order)]
        picture = axis.imshow(shown, cmap="cividis", **scale)
        # Names stand at the outer panels for all levels: a star says at which they are weak.
        labels = [
            names[i]
            + "†" * (names[i] in imported)
            + "".join(f" *{e:g}" for e in levels if (names[i], float(e)) in weak)
            for i in order
        ]
        _label(axis, shown, labels, scale, finite.size <= MOST_CELLS_WITH_NUMBERS)
    _name_panels(axes, kinds)
    assert picture is not None
    drawing.suptitle(title_of(results, rows), x=0.01, ha="left", fontsize=PLAIN)
    is_narrow = drawing.get_figwidth() < BAR_BELOW
    drawing.colorbar(
        picture, ax=list(axes.values()), label=measure_label(measure), pad=0.02, shrink=0.7,
        location="bottom" if is_narrow else "right",
    )  # fmt: skip
    return drawing


def _panels(
    names: Sequence[str], kinds: Sequence[str], levels: Sequence[float]
) -> tuple[matplotlib.figure.Figure, dict[tuple[str, float], Axes]]:
    """A panel for each kind of input and level: kinds below one another, levels side by side.

    Levels go on in the next row where the width that was asked for has no room for them.
    """
    size = max(1.35, min(2.4, 0.17 * len(names)))
    width = width_or(1.5 + size * len(levels))
    is_narrow = width < BAR_BELOW
    beside = LETTER * SMALLEST / 72 * max(map(len, names)) + 0.25  # inches that names take
    room = width - beside - (0 if is_narrow else 0.8)
    columns = max(1, min(len(levels), int(room / min(size, max(1.0, 0.1 * len(names))))))
    rows = len(kinds) * -(-len(levels) // columns)
    columns = -(-len(levels) // (rows // len(kinds)))
    side = min(size, room / columns)
    drawing = new_figure(width, beside + 0.2 + 0.5 * is_narrow + (side + 0.2) * rows)
    grid = drawing.subplots(rows, columns, squeeze=False)
    axes = {}
    for place, kind in enumerate(kinds):
        first = place * (rows // len(kinds))
        for number, level in enumerate(levels):
            axes[kind, level] = grid[first + number // columns, number % columns]
    for axis in {*grid.flat} - {*axes.values()}:
        axis.remove()
    return drawing, axes


def _name_panels(axes: Mapping[tuple[str, float], Axes], kinds: Sequence[str]) -> None:
    """Says each panel's level and kind of input once, and models at the outer panels only."""
    is_wrapped = len({axis.get_subplotspec().rowspan.start for axis in axes.values()}) > len(kinds)  # pyright: ignore[reportOptionalMemberAccess]
    below = {_column(axis): axis for axis in axes.values()}  # the last of each column
    for (kind, level), axis in axes.items():
        if below[_column(axis)] is not axis:
            axis.set_xticklabels([])
        if _column(axis):
            axis.set_yticklabels([])
        else:
            axis.set_ylabel(f"{kind} inputs")
        if is_wrapped or kind == kinds[0]:
            axis.set_title(f"ε = {epsilon_text(level)}", loc="center")


def _column(axis: Axes) -> int:
    return axis.get_subplotspec().colspan.start  # pyright: ignore[reportOptionalMemberAccess]


def _names(rows: pd.DataFrame, side: str, has_seeds: bool) -> list[str]:
    return short_names(rows, side, has_seeds=has_seeds)


def _common_order(matrices: list[np.ndarray]) -> list[int]:
    stacked = np.stack([symmetric(matrix) for matrix in matrices])
    counts = np.isfinite(stacked).sum(axis=0)
    mean = np.where(counts > 0, np.nansum(stacked, axis=0) / np.maximum(counts, 1), np.nan)
    return cluster_order(mean)


def _label(
    axis: Axes, shown: np.ndarray, names: list[str], scale: dict[str, float], has_numbers: bool
) -> None:
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    axis.set_xticks(range(len(names)), names, rotation=90, fontsize=SMALLEST)
    axis.set_yticks(range(len(names)), names, fontsize=SMALLEST)
    if not has_numbers:
        return
    middle = (scale["vmin"] + scale["vmax"]) / 2
    for i, j in np.argwhere(np.isfinite(shown)):
        ink = "white" if shown[i, j] < middle else "black"
        text = f"{shown[i, j]:.2f}".replace("0.", ".", 1)
        axis.text(
            j, i, text, ha="center", va="center", color=ink, fontsize=SMALLEST, in_layout=False
        )
