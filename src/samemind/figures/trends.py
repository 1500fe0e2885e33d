"""Trends over ε: how much each measure changes, and how sure that is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samemind.figures._style import COLOUR, ONE_COLUMN, TWO_COLUMNS, measure_label, new_figure
from samemind.figures.base import Results, figure
from samemind.figures.evidence import COMMON, trend_table

if TYPE_CHECKING:
    import matplotlib.figure
    import pandas as pd


@figure(
    "trends",
    "Trends over robustness",
    shows="The change of the mean score from the lowest to the highest ε for each measure and "
    "kind of input, with its 95 % confidence interval from a bootstrap over models, and the "
    "p-value of a permutation of ε within models.",
    needs=("several_epsilons",),
)
def trends(results: Results) -> matplotlib.figure.Figure:
    """A line per measure and kind of input: the change over ε with its confidence interval."""
    table = trend_table(results)
    table = table[table["n_levels"] > 1]
    groups = list(table.groupby(["dataset", "inputs_dataset", "measure"], sort=False))
    width = ONE_COLUMN * 1.5 if len(groups) < 30 else TWO_COLUMNS
    drawing = new_figure(width, 0.7 + 0.24 * len(table) + 0.06 * len(groups))
    axis = drawing.add_subplot()
    several = table[["dataset", "inputs_dataset"]].drop_duplicates().shape[0] > 1
    position, ticks, labels = 0.0, [], []
    for key, part in groups:
        first = position
        for record in part.sort_values("inputs", ascending=False).to_dict("records"):
            _draw_trend(axis, position, record)
            position += 1
        ticks.append((first + position - 1) / 2)
        dataset, inputs_dataset, measure = map(str, key)  # pyright: ignore[reportArgumentType]
        place = dataset if dataset == inputs_dataset else f"{dataset} on {inputs_dataset}"
        labels.append(measure_label(measure) + (f"\n{place}" if several else ""))
        position += 0.5
    axis.axvline(0, color=COLOUR["ink"], linewidth=0.7)
    axis.set_yticks(ticks, labels)
    axis.set_ylim(position - 0.2, -0.8)
    axis.grid(axis="x")
    lowest, highest = table["first_epsilon"].min(), table["last_epsilon"].max()
    axis.set_xlabel(f"change of the mean score from ε = {lowest:g} to ε = {highest:g}")
    _legend(drawing, table)
    return drawing


def _draw_trend(axis: object, position: float, record: dict) -> None:
    from matplotlib.axes import Axes

    assert isinstance(axis, Axes)
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
            text, (1.01, position), xycoords=("axes fraction", "data"), va="center", fontsize=6.5
        )


def _legend(drawing: matplotlib.figure.Figure, table: pd.DataFrame) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=COLOUR[kind], marker="o", markersize=4, label=f"{kind} inputs")
        for kind in ("natural", "inverted")
        if (table["inputs"] == kind).any()
    ]
    if (table["models"] == COMMON).any():
        handles.append(
            Line2D([], [], color=COLOUR["floor"], marker="o", markersize=4,
                   markerfacecolor="white", linestyle="", label="only models present at every ε")
        )  # fmt: skip
    drawing.legend(handles=handles, loc="outside lower center", ncols=3)
