"""The paper's Figure 4: representation mechanisms, seen by three measures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samemind.figures._representations import draw_representations
from samemind.figures.base import Results, figure
from samemind.figures.boxes import groups_of
from samemind.figures.needs import on_inverted

if TYPE_CHECKING:
    import matplotlib.figure


@figure(
    "mechanisms",
    "Similarity of representation mechanisms",
    shows="Linear CKA, Procrustes similarity and k-NN Jaccard of all ordered pairs on inverted "
    "inputs, by ε, a group of boxes for each dataset.",
    needs=("inverted_representations",),
    paper="Figure 4",
    studies="imagenet1k cifar10",
    is_by_epsilon=True,
    is_of_study=True,
    quantities=("cka", "procrustes"),
)
def mechanisms(results: Results) -> matplotlib.figure.Figure:
    """Three measures on inverted inputs of the models' own dataset."""
    is_named = results.has_named_places
    return draw_representations(
        on_inverted(results.defined),
        lambda rows: groups_of(rows, is_named=is_named),
        results.convention,
    )
