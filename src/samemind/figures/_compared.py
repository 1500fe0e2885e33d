"""Box plots of two conditions side by side at each ε, which probes and subgroups share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from samemind.figures.boxes import draw_box, weak_handles
from samemind.figures.style import (
    epsilon_text,
    legend_below,
    letter,
    measure_label,
    panels,
    place_label,
)

if TYPE_CHECKING:
    import matplotlib.figure
    import pandas as pd


def draw_compared(
    table: pd.DataFrame, column: str, colours: Mapping[str, str], *, is_named: bool
) -> matplotlib.figure.Figure:
    """A panel per dataset, measure and kind of input; at each ε a box for each value of `column`.

    `table` says which pairs are weak, see `Results.with_weak`; `is_named`: panels name datasets.
    """
    from matplotlib.patches import Patch

    table = table[table["score"].notna()]
    colours = {value: c for value, c in colours.items() if (table[column] == value).any()}
    apart = len(colours) + 0.6
    keys = ["dataset", "inputs_dataset", "measure", "inputs"]
    parts = list(table.groupby(keys, sort=False))
    drawing, axes = panels(len(parts))
    for axis, (key, part) in zip(axes, parts, strict=True):
        levels = sorted(part["epsilon"].unique())
        for place, level in enumerate(levels):
            for shift, (value, colour) in enumerate(colours.items()):
                chosen = part[(part["epsilon"] == level) & (part[column] == value)]
                if len(chosen):
                    scores = chosen["score"].to_numpy(dtype=float)
                    weak = chosen["is_weak"].to_numpy()
                    draw_box(axis, apart * place + shift, scores, colour, weak=weak)
        axis.set_xticks(
            [apart * place + (len(colours) - 1) / 2 for place in range(len(levels))],
            [epsilon_text(level) for level in levels],
        )
        axis.set_xlim(-1.2, apart * max(len(levels) - 1, 1) + len(colours) + 0.2)
        axis.grid(axis="y")
        dataset, away, measure, inputs = map(str, key)  # pyright: ignore[reportArgumentType]
        place = f"\n{place_label(dataset, away)}" if is_named else ""
        axis.set_title(measure_label(measure))
        axis.set_xlabel(f"ε, {inputs} inputs{place}")
    letter(axes)
    handles = [
        Patch(edgecolor=colour, facecolor=colour + "40", label=value + _size(table, column, value))
        for value, colour in colours.items()
    ] + weak_handles(table)
    legend_below(drawing, handles)
    return drawing


def _size(table: pd.DataFrame, column: str, value: str) -> str:
    """How many inputs the scores of one condition rest on, where the table says so."""
    if "n_inputs" not in table.columns:
        return ""
    counts = table[table[column] == value]["n_inputs"]
    return f" (median of {counts.median():.0f} inputs)" if len(counts) else ""
