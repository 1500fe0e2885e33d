"""The paper's Figure 7: Jaccard similarity at several neighbourhood sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samemind.figures._boxes import draw_groups, groups_of, legend_handles, measures_in
from samemind.figures._style import letter, measure_label, neighbours_of, panels
from samemind.figures.base import Results, figure

if TYPE_CHECKING:
    import matplotlib.figure


@figure(
    "neighbourhood_size",
    "Jaccard similarity by neighbourhood size",
    shows="k-NN Jaccard on inverted inputs, by ε, a panel for each number of neighbours k.",
    needs=("inverted", "representations", "neighbourhood_sizes"),
    paper="Figure 7",
    is_by_epsilon=True,
)
def neighbourhood_size(results: Results) -> matplotlib.figure.Figure:
    """k-NN Jaccard on inverted inputs at every k that the study has."""
    rows = results.defined
    rows = rows[(rows["inputs"] == "inverted") & rows["measure"].str.startswith("knn_jaccard")]
    measures = sorted(measures_in(rows), key=neighbours_of)
    drawing, axes = panels(len(measures))
    for axis, measure in zip(axes, measures, strict=True):
        draw_groups(axis, groups_of(rows[rows["measure"] == measure]))
        axis.set_title(measure_label(measure))
    letter(axes)
    drawing.legend(handles=legend_handles(rows), loc="outside lower center", ncols=4)
    return drawing
