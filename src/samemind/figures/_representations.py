"""CKA, Procrustes and Jaccard over ε: what the paper's Figures 4, 5 and 6 have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samemind.figures._boxes import Group, draw_groups, groups_of, legend_handles, measures_in
from samemind.figures._style import letter, measure_label, panels
from samemind.figures.evidence import representation_measures

if TYPE_CHECKING:
    from collections.abc import Callable

    import matplotlib.figure
    import pandas as pd

MANY_BOXES = 12


def draw_representations(
    rows: pd.DataFrame, groups: Callable[[pd.DataFrame], list[Group]] = groups_of
) -> matplotlib.figure.Figure:
    """A panel for each of the paper's measures on representations, datasets side by side."""
    measures = representation_measures(measures_in(rows)) or measures_in(rows)
    boxes = rows.groupby(["dataset", "inputs_dataset", "inputs", "epsilon"]).ngroups
    drawing, axes = panels(len(measures), most=1 if boxes > MANY_BOXES else 3)
    for axis, measure in zip(axes, measures, strict=True):
        draw_groups(axis, groups(rows[rows["measure"] == measure]))
        axis.set_title(measure_label(measure))
    letter(axes)
    drawing.legend(handles=legend_handles(rows), loc="outside lower center", ncols=4)
    return drawing


def on_representations(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of measures on representations."""
    return rows[rows["layer"] != "logits"]
