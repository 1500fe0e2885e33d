"""Box plots over ε, a panel per measure: the first look at a study."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samemind.figures.base import Results, figure
from samemind.figures.boxes import (
    box_panels,
    draw_groups,
    groups_of,
    legend_handles,
    measures_in,
    name_few,
)
from samemind.figures.style import legend_below, letter, measure_label

if TYPE_CHECKING:
    import matplotlib.figure


@figure(
    "similarity_by_epsilon",
    "Similarity by robustness",
    shows="Box plots of each measure over all pairs of models, by the ε they were trained at, "
    "on natural and on inverted inputs, with the floor that unrelated models would reach.",
    needs=("scores",),
    is_by_epsilon=True,
    is_of_study=True,
    per_measure="also",
)
def similarity_by_epsilon(results: Results) -> matplotlib.figure.Figure:
    """Box plots of every measure by ε, natural and inverted inputs side by side."""
    rows = results.defined
    measures = measures_in(rows)
    drawing, axes = box_panels(rows)
    for axis, measure in zip(axes, measures, strict=True):
        part = rows[rows["measure"] == measure]
        groups = groups_of(part, is_named=results.has_named_places)
        draw_groups(axis, groups)
        name_few(axis, groups)
        axis.set_title(measure_label(measure))
    letter(axes)
    legend_below(drawing, legend_handles(rows))
    return drawing
