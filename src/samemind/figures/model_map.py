"""A map of the models: near means alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samemind.figures._naming import MOST_NAMED, name_points
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
    SMALL,
    SMALLEST,
    epsilon_text,
    grid_of,
    legend_below,
    looks_of,
    measure_label,
    new_figure,
)
from samemind.figures.widths import ONE_COLUMN, columns_within, width_or
from samemind.lazy import np
from samemind.statistics import classical_map

if TYPE_CHECKING:
    import matplotlib.figure

NARROWEST_MAP = 1.6  # inches


@figure(
    "model_map",
    "Map of the models",
    shows="Models in the plane so that distances come near 1 − similarity (classical "
    "multidimensional scaling), a panel for each ε, all on one scale. The percentage says how "
    "much of the distances the plane keeps; weak models are crossed out.",
    needs=("scores", "several_models"),
    per_measure="only",
)
def model_map(results: Results) -> matplotlib.figure.Figure:
    """The models at each ε in two dimensions, by one measure."""
    from matplotlib.lines import Line2D

    rows = rows_of_one_place(results)
    kind = next(kind for kind in INPUT_KINDS if (rows["inputs"] == kind).any())
    rows = rows[rows["inputs"] == kind]
    has_seeds = has_several_seeds(rows)
    levels = sorted(rows["epsilon"].unique())
    there = {*rows["architecture_a"], *rows["architecture_b"]}
    # As in the figure of accuracies, where all models are.
    own = results.models[results.models["dataset"] == rows["dataset"].iloc[0]]
    looks = looks_of([*own["architecture"], *sorted(there)])
    lines, columns = grid_of(len(levels), columns_within(len(levels), NARROWEST_MAP))
    width = width_or(max(ONE_COLUMN, 1.75 * columns))
    side = min(width / columns, 3.6)
    drawing = new_figure(width, 0.6 + (side + 0.25) * lines)
    grid = drawing.subplots(lines, columns, squeeze=False)
    for axis in grid.flat[len(levels) :]:
        axis.remove()
    axes = grid.flat[: len(levels)]
    weak = weak_names(results, rows, has_seeds=has_seeds)
    is_named = len(levels) == 1 and len(there) <= MOST_NAMED
    placed: list[tuple[list[str], np.ndarray]] = []
    extent = 1e-3  # models that are all alike lie on one point
    for axis, level in zip(axes, levels, strict=True):
        part = rows[rows["epsilon"] == level]
        architecture_of = dict(
            zip(short_names(part, "a", has_seeds=has_seeds), part["architecture_a"], strict=True)
        ) | dict(
            zip(short_names(part, "b", has_seeds=has_seeds), part["architecture_b"], strict=True)
        )
        names = sorted(architecture_of)
        matrix = symmetric(matrix_of(part, names, has_seeds=has_seeds))
        positions, kept = classical_map(matrix)
        placed.append((names, positions))
        for name, (x, y) in zip(names, positions, strict=True):
            axis.scatter(x, y, s=22, **looks[architecture_of[name]], linewidths=0)
            if (name, float(level)) in weak:
                axis.scatter(x, y, s=40, marker="x", color="black", linewidths=0.9, zorder=4)
        axis.set_title(f"ε = {epsilon_text(level)} ({kept:.0%} kept)", loc="center", fontsize=SMALL)
        axis.grid(True)
        axis.tick_params(labelsize=SMALLEST)
        extent = max(extent, float(np.abs(positions).max()))
    for axis in axes:
        axis.set(xlim=(-1.15 * extent, 1.15 * extent), ylim=(-1.15 * extent, 1.15 * extent))
        axis.set_box_aspect(1)
        axis.label_outer()
    for axis in axes[-columns:]:  # the last of each column
        axis.tick_params(labelbottom=True)
    grid[0, 0].set_ylabel(f"{measure_label(str(rows['measure'].iloc[0]))}\n{kind} inputs")
    imported = imported_names(results, rows, has_seeds=False)
    handles = [
        Line2D([], [], linestyle="", **look, markersize=4, label=name + "†" * (name in imported))
        for name, look in looks.items()
        if name in there
    ]
    drawing.suptitle(title_of(results, rows), x=0.01, ha="left", fontsize=PLAIN)
    if not is_named:
        legend_below(drawing, handles)
        return drawing
    (names, positions), (axis,) = placed[0], axes
    marked = [name + "†" * (name in imported) for name in names]
    name_points(axis, [tuple(point) for point in positions], marked)
    return drawing
