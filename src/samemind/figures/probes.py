"""Retrained heads: does the difference in predictions come from the representation?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from samemind.figures._compared import draw_compared
from samemind.figures.base import Results, figure

if TYPE_CHECKING:
    import matplotlib.figure

COLOURS = {
    "original": "#0072B2",
    "probe": "#009E73",
    "normalised probe": "#E69F00",
    "same representation": "#777777",
    "own head": "#CC79A7",
}


@figure(
    "probes",
    "Original and retrained heads",
    shows="Similarity of the predictions of all pairs with their original heads, and with a "
    "linear probe trained for each model on its frozen representation of the same inputs, by ε; "
    "beside them, of each model, two probes on the same representation (the ceiling, where there "
    "are several), and its probe and its own head.",
    needs=("probes",),
    is_by_epsilon=True,
)
def probes(results: Results) -> matplotlib.figure.Figure:
    """Boxes of the original heads beside those of linear probes, and what probes can reach."""
    assert results.probes is not None
    table = results.with_weak(results.probes)
    return draw_compared(table, "heads", COLOURS, is_named=results.has_named_places)
