"""Agreement and JSDSim by ε, and the bounds that accuracies impose on agreement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from samemind.figures.base import Results
from samemind.figures.boxes import (
    MANY_POINTS,
    Group,
    across_architectures,
    box_panels,
    draw_groups,
    groups_of,
    legend_handles,
    measures_in,
    name_few,
    places_in_box,
)
from samemind.figures.needs import on_predictions
from samemind.figures.style import COLOUR, SMALL, legend_below, letter, measure_label
from samemind.lazy import np, pd
from samemind.statistics import agreement_bounds

if TYPE_CHECKING:
    import matplotlib.figure
    from matplotlib.axes import Axes


def draw_predictions(
    results: Results, inputs: str, *, has_bounds: bool
) -> matplotlib.figure.Figure:
    """Agreement and JSDSim of all pairs on one kind of input, a panel for each."""
    rows = on_predictions(results, inputs)
    measures = measures_in(rows)
    drawing, axes = box_panels(rows, most=2, height=2.4)
    handles = legend_handles(rows)
    for axis, measure in zip(axes, measures, strict=True):
        part = rows[rows["measure"] == measure]
        groups = groups_of(part, is_named=results.has_named_places)
        draw_groups(axis, groups)
        if has_bounds and measure == "agreement":
            handles += _draw_bounds(axis, results, groups)
        if has_bounds:
            _zoom(axis, results, groups)
        name_few(axis, groups)
        axis.set_title(measure_label(measure))
    letter(axes)
    legend_below(drawing, handles)
    return drawing


def _zoom(axis: Axes, results: Results, groups: list[Group]) -> None:
    """Shows the range of scores and bounds; a floor far below would flatten all that matters."""
    rows = pd.concat([pair_bounds(results, group.rows) for group in groups])
    names = ["score", "hard_upper", "fort_upper", "fort_lower"]
    shown = rows[["score"] if (rows["measure"] != "agreement").any() else names]
    low, high = float(shown.min().min()), float(shown.max().max())
    pad = 0.06 * max(high - low, 0.01)
    # The floor of each box, as it is drawn: they can lie far apart, so no mean stands for them.
    boxes = rows.groupby(["dataset", "inputs_dataset", "inputs", "epsilon"])
    floors = boxes["floor"].median().dropna()
    if len(floors) and floors.min() >= low - 2 * (high - low):
        low = min(low, float(floors.min()))
    below = floors[floors < low - pad]
    if len(below):
        ends = dict.fromkeys(f"{end:.2f}" for end in (below.min(), below.max()))
        axis.annotate(
            f"floor {' to '.join(ends)} ↓", (0.01, 0.02), xycoords="axes fraction", fontsize=SMALL,
            color=COLOUR["floor"],
        )  # fmt: skip
        low -= 0.1 * (high - low)  # room for it below the boxes
    axis.set_ylim(low - pad, high + pad)


def pair_bounds(results: Results, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with what both models' accuracies on the very inputs allow their agreement to be.

    Adds the columns `hard_lower`, `hard_upper` (no pair can be beyond them) and `fort_lower`,
    `fort_upper` (NaN where the number of classes is not known). All are NaN where the labels of
    the inputs do not apply to the models, or the accuracies on them are not in the table.
    """
    nan = float("nan")
    found = []
    for row in rows.itertuples():
        a, b = getattr(row, "accuracy_a", nan), getattr(row, "accuracy_b", nan)
        bounds = agreement_bounds(float(a), float(b), results.classes.get(str(row.dataset)))
        found.append((*bounds.hard, *bounds.fort))
    columns = ["hard_lower", "hard_upper", "fort_lower", "fort_upper"]
    frame = rows.copy()
    frame[columns] = np.array(found, dtype=float).reshape(-1, 4)
    return frame


def _draw_bounds(axis: Axes, results: Results, groups: list[Group]) -> list[Any]:
    """Marks above and below each point what its pair's accuracies allow; the legend of it."""
    from matplotlib.lines import Line2D

    ticks = axis.get_xticks()
    cells = [part for group in groups for _, part in group.rows.groupby("epsilon", sort=True)]
    drawn: set[str] = set()
    for tick, cell in zip(ticks, cells, strict=True):
        bounds = pair_bounds(results, across_architectures(cell))
        x = places_in_box(float(tick), len(bounds))
        half = 0.035 if len(bounds) < MANY_POINTS else 0.01
        for side in ("lower", "upper"):
            own = bounds[f"hard_{side}"].to_numpy(dtype=float)
            if np.isfinite(own).any():
                drawn.add("hard")
                axis.hlines(own, x - half, x + half, colors=COLOUR["bound"], linewidths=0.8)
            mean = float(bounds[f"fort_{side}"].mean())
            if mean == mean:
                drawn.add("fort")
                axis.hlines(mean, tick - 0.45, tick + 0.45, colors=COLOUR["bound"], linewidths=1.1)
    handles = {
        "hard": Line2D([], [], color=COLOUR["bound"], linestyle="", marker="_", markersize=5,
                       label="most and least that the accuracies of each pair allow"),
        "fort": Line2D([], [], color=COLOUR["bound"],
                       label="bounds of Fort et al., mean over pairs (not hard)"),
    }  # fmt: skip
    return [handle for kind, handle in handles.items() if kind in drawn]
