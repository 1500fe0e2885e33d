"""The paper's Figure 7: Jaccard similarity at several neighbourhood sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samemind.figures.base import Results, figure
from samemind.figures.boxes import box_panels, draw_groups, groups_of, legend_handles, measures_in
from samemind.figures.needs import on_inverted, on_neighbours
from samemind.figures.style import legend_below, letter, measure_label, neighbours_of

if TYPE_CHECKING:
    import matplotlib.figure


@figure(
    "neighbourhood_size",
    "Jaccard similarity by neighbourhood size",
    shows="k-NN Jaccard on inverted inputs, by ε, a panel for each number of neighbours k.",
    needs=("neighbourhood_sizes",),
    paper="Figure 7",
    studies="imagenet1k cifar10",
    is_by_epsilon=True,
    is_of_study=True,
)
def neighbourhood_size(results: Results) -> matplotlib.figure.Figure:
    """k-NN Jaccard on inverted inputs at every k that the study has."""
    rows = on_neighbours(on_inverted(results.defined))
    measures = sorted(measures_in(rows), key=neighbours_of)
    drawing, axes = box_panels(rows)
    for axis, measure in zip(axes, measures, strict=True):
        part = rows[rows["measure"] == measure]
        draw_groups(axis, groups_of(part, is_named=results.has_named_places))
        axis.set_title(measure_label(measure))
    letter(axes)
    legend_below(drawing, legend_handles(rows))
    return drawing
