"""Similarity on one scale for all measures: 0 is the floor, 1 the ceiling."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samemind.figures.base import Results, figure
from samemind.figures.boxes import box_panels, draw_groups, groups_of, measures_in
from samemind.figures.evidence import levels_of
from samemind.figures.style import COLOUR, SMALL, letter, measure_label
from samemind.statistics import normalised

if TYPE_CHECKING:
    import matplotlib.figure
    import pandas as pd

CELL = ["dataset", "inputs_dataset", "inputs", "measure", "epsilon"]


@figure(
    "normalised_similarity",
    "Similarity between floor and ceiling",
    shows="(score − floor) / (ceiling − floor) of each pair and measure, by ε. The floor is that "
    "of permuted rows; the ceiling is that of models which differ by their random seed, or, "
    "where a study has one random seed, of identical models.",
    needs=("floors",),
    is_by_epsilon=True,
    is_of_study=True,
)
def normalised_similarity(results: Results) -> matplotlib.figure.Figure:
    """Box plots of every measure between its floor and its ceiling."""
    rows = normalised_rows(results)
    measures = measures_in(rows)
    drawing, axes = box_panels(rows)
    for axis, measure in zip(axes, measures, strict=True):
        part = rows[rows["measure"] == measure]
        part = part.assign(score=part["normalised"], floor=float("nan"))
        draw_groups(axis, groups_of(part, is_named=results.has_named_places))
        axis.axhline(0, color=COLOUR["floor"], linestyle=(0, (2, 1.5)), linewidth=1)
        axis.axhline(1, color=COLOUR["ceiling"], linewidth=1)
        axis.set_title(measure_label(measure))
        axis.set_ylim(min(-0.08, axis.get_ylim()[0]), max(1.08, axis.get_ylim()[1]))
    letter(axes)
    measured = "other random seed" if rows["is_ceiling_measured"].all() else "identical models"
    drawing.supylabel(f"0: permuted rows · 1: {measured}", fontsize=SMALL)
    return drawing


def normalised_rows(results: Results) -> pd.DataFrame:
    """The rows that have a floor, with `normalised` and `is_ceiling_measured`.

    Floor and ceiling are those of the row's cell: same dataset, inputs, measure and ε.
    """
    import pandas as pd

    parts = []
    rows = results.defined
    for _, cell in rows[rows["floor"].notna()].groupby(CELL, sort=False):
        bounds = levels_of(cell)
        scores = cell["score"].to_numpy(dtype=float)
        value = normalised(scores, float(bounds["floor"]), float(bounds["ceiling"]))
        parts.append(
            cell.assign(normalised=value, is_ceiling_measured=bounds["is_ceiling_measured"])
        )
    table = pd.concat(parts, ignore_index=True)
    return table[table["normalised"].notna()]
