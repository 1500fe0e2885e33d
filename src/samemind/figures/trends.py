"""Trends over ε: how much each measure changes, and how sure that is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from samemind.figures.base import Results, figure
from samemind.figures.evidence import COMMON, trend_table
from samemind.figures.style import (
    COLOUR,
    INPUT_KINDS,
    SMALL,
    grid_of,
    legend_below,
    measure_label,
    new_figure,
    place_label,
)
from samemind.figures.widths import ONE_COLUMN, TWO_COLUMNS, columns_within

if TYPE_CHECKING:
    import matplotlib.figure
    import pandas as pd
    from matplotlib.axes import Axes


@figure(
    "trends",
    "Trends over robustness",
    shows="The change of the mean score from the lowest to the highest ε, along the straight line "
    "through the means of all ε, for each measure and kind of input, with its 95 % confidence "
    "interval and the p-value of no change, both from a jackknife over models. p is not corrected "
    "for the number of measures (the verdict's is).",
    needs=("several_epsilons",),
)
def trends(results: Results) -> matplotlib.figure.Figure:
    """A line per measure and kind of input: the change over ε with its confidence interval."""
    table = trend_table(results)
    table = table[table["n_levels"] > 1]
    places = list(table.groupby(["dataset", "inputs_dataset"], sort=False))
    measures = list(dict.fromkeys(table["measure"]))
    # One line for each kind of input and set of models; the same height for all panels.
    lines = int(table.groupby(["dataset", "inputs_dataset", "measure"]).size().max())
    rows, columns = grid_of(len(places), columns_within(2))
    height = 0.7 + (0.2 * lines + 0.1) * len(measures)
    drawing = new_figure(ONE_COLUMN * 1.5 if columns == 1 else TWO_COLUMNS, height * rows)
    axes = drawing.subplots(rows, columns, squeeze=False, sharey=True)
    for axis in axes.flat[len(places) :]:
        axis.set_visible(False)
    for axis, (key, part) in zip(axes.flat, places, strict=False):
        _draw_place(axis, part, measures, lines)
        dataset, inputs_dataset = map(str, key)  # pyright: ignore[reportArgumentType]
        if results.has_named_places:
            axis.set_title(place_label(dataset, inputs_dataset))
    _legend(drawing, table)
    return drawing


def _draw_place(axis: Axes, table: pd.DataFrame, measures: list[str], lines: int) -> None:
    """The trends of one dataset, each measure at its own place on the axis."""
    for place, measure in enumerate(measures):
        records = table[table["measure"] == measure].sort_values("inputs", ascending=False)
        first = place * (lines + 0.5) + (lines - len(records)) / 2
        for line, record in enumerate(records.to_dict("records")):
            _draw_trend(axis, first + line, record)
    axis.axvline(0, color=COLOUR["ink"], linewidth=0.7)
    middles = [place * (lines + 0.5) + (lines - 1) / 2 for place in range(len(measures))]
    axis.set_yticks(middles, [measure_label(name) for name in measures])
    axis.set_ylim(len(measures) * (lines + 0.5) - 0.7, -0.8)
    axis.grid(axis="x")
    lowest, highest = table["first_epsilon"].min(), table["last_epsilon"].max()
    axis.set_xlabel(f"change along the line, ε = {lowest:g} to {highest:g}")


def _draw_trend(axis: Axes, position: float, record: dict[Any, Any]) -> None:
    colour = COLOUR[record["inputs"]]
    is_common = record["models"] == COMMON
    if record["lower"] == record["lower"]:
        axis.plot([record["lower"], record["upper"]], [position] * 2, color=colour, linewidth=1.6)
    axis.plot(
        record["change"], position, "o", color=colour, markersize=4,
        markerfacecolor="white" if is_common else colour,
    )  # fmt: skip
    p_value = record["p_value"]
    if p_value == p_value:
        text = "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"
        axis.annotate(
            text, (1.01, position), xycoords=("axes fraction", "data"), va="center", fontsize=SMALL
        )


def _legend(drawing: matplotlib.figure.Figure, table: pd.DataFrame) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=COLOUR[kind], marker="o", markersize=4, label=f"{kind} inputs")
        for kind in INPUT_KINDS
        if (table["inputs"] == kind).any()
    ]
    if (table["models"] == COMMON).any():
        handles.append(
            Line2D([], [], color=COLOUR["floor"], marker="o", markersize=4,
                   markerfacecolor="white", linestyle="", label="only models present at every ε")
        )  # fmt: skip
    legend_below(drawing, handles)
