"""Agreement and JSDSim by ε, and the bounds that accuracies impose on agreement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from samemind.figures._boxes import (
    Group,
    box_panels,
    draw_groups,
    groups_of,
    legend_handles,
    measures_in,
)
from samemind.figures._needs import on_predictions
from samemind.figures.base import Results
from samemind.figures.style import COLOUR, legend_below, letter, measure_label
from samemind.lazy import LazyModule
from samemind.statistics import agreement_bounds

if TYPE_CHECKING:
    import matplotlib.figure
    import pandas as pd
    from matplotlib.axes import Axes
else:
    pd = LazyModule("pandas")


def draw_predictions(
    results: Results, inputs: str, *, has_bounds: bool
) -> matplotlib.figure.Figure:
    """Agreement and JSDSim of all pairs on one kind of input, a panel for each."""
    rows = on_predictions(results.defined, inputs)
    measures = measures_in(rows)
    drawing, axes = box_panels(rows, most=2, height=2.4)
    handles = legend_handles(rows)
    for axis, measure in zip(axes, measures, strict=True):
        groups = groups_of(rows[rows["measure"] == measure])
        draw_groups(axis, groups)
        if has_bounds and measure == "agreement":
            handles += _draw_bounds(axis, results, groups)
        if has_bounds:
            _zoom(axis, results, groups)
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
            f"floor {' to '.join(ends)} ↓", (0.01, 0.02), xycoords="axes fraction", fontsize=6.5,
            color=COLOUR["floor"],
        )  # fmt: skip
    axis.set_ylim(low - pad, high + pad)


def pair_bounds(results: Results, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with what both models' clean accuracies allow their agreement to be.

    Adds the columns `hard_lower`, `hard_upper` (no pair can be beyond them) and `fort_lower`,
    `fort_upper` (NaN where the number of classes is not known).
    """
    keys = ["dataset", "model", "epsilon"]
    accuracy = results.models.drop_duplicates(keys).set_index(keys)["clean_accuracy"]
    found = []
    for row in rows.itertuples():
        a = float(accuracy.get((row.dataset, row.model_a, row.epsilon), float("nan")))
        b = float(accuracy.get((row.dataset, row.model_b, row.epsilon), float("nan")))
        bounds = agreement_bounds(a, b, results.classes.get(str(row.dataset)))
        found.append((*bounds.hard, *bounds.fort))
    columns = ["hard_lower", "hard_upper", "fort_lower", "fort_upper"]
    frame = rows.copy()
    frame[columns] = found
    return frame


def _draw_bounds(axis: Axes, results: Results, groups: list) -> list:
    from matplotlib.lines import Line2D

    ticks = axis.get_xticks()
    place = 0
    lines: dict[str, tuple[Any, str]] = {
        "hard": (":", "bounds that accuracies impose"),
        "fort": ("-", "bounds of Fort et al. (not hard)"),
    }
    drawn = set()
    for group in groups:
        by_level = pair_bounds(results, group.rows).groupby("epsilon", sort=True)
        for _, part in by_level:
            for kind, (style, _) in lines.items():
                for side in ("lower", "upper"):
                    value = part[f"{kind}_{side}"].mean()
                    if value == value:
                        drawn.add(kind)
                        span = (ticks[place] - 0.45, ticks[place] + 0.45)
                        axis.hlines(
                            value, *span, colors=COLOUR["bound"], linestyles=style, linewidths=1.1
                        )
            place += 1
    return [
        Line2D([], [], color=COLOUR["bound"], linestyle=style, label=text)
        for kind, (style, text) in lines.items()
        if kind in drawn
    ]
