"""CKA, Procrustes and Jaccard over ε: what the paper's Figures 4, 5 and 6 have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samemind.figures.boxes import (
    Group,
    box_panels,
    draw_groups,
    legend_handles,
    measures_in,
    name_few,
)
from samemind.figures.needs import representation_measures
from samemind.figures.style import legend_below, letter, measure_label

if TYPE_CHECKING:
    from collections.abc import Callable

    import matplotlib.figure
    import pandas as pd


def draw_representations(
    rows: pd.DataFrame,
    groups: Callable[[pd.DataFrame], list[Group]],
    convention: str,
) -> matplotlib.figure.Figure:
    """A panel for each of the paper's measures on representations, datasets side by side."""
    measures = representation_measures(measures_in(rows), convention) or measures_in(rows)
    rows = rows[rows["measure"].isin(measures)]
    drawing, axes = box_panels(rows)
    for axis, measure in zip(axes, measures, strict=True):
        shown = groups(rows[rows["measure"] == measure])
        draw_groups(axis, shown)
        name_few(axis, shown)
        axis.set_title(measure_label(measure))
    letter(axes)
    legend_below(drawing, legend_handles(rows))
    return drawing
