"""The paper's Figure 6: inputs from another dataset than the models were trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samemind.figures._representations import draw_representations, on_representations
from samemind.figures.base import Results, figure

if TYPE_CHECKING:
    import matplotlib.figure


@figure(
    "out_of_distribution",
    "Out of distribution",
    shows="Linear CKA, Procrustes similarity and k-NN Jaccard on inverted inputs made from "
    "another dataset (hatched), by ε, beside those of the models' own dataset where they exist.",
    needs=("inverted", "representations", "out_of_distribution"),
    paper="Figure 6",
    is_by_epsilon=True,
)
def out_of_distribution(results: Results) -> matplotlib.figure.Figure:
    """Three measures on inverted inputs of a foreign dataset."""
    rows = on_representations(results.defined)
    inverted = rows[rows["inputs"] == "inverted"]
    return draw_representations(inverted if len(inverted) else rows)
