"""Are models alike where they agree, and unlike where they do not?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from samemind.figures._compared import draw_compared
from samemind.figures.base import Results, figure

if TYPE_CHECKING:
    import matplotlib.figure

COLOURS = {"agree": "#0072B2", "disagree": "#CC79A7"}


@figure(
    "subgroups",
    "Where two models agree and where they disagree",
    shows="Similarity of all pairs recomputed on the inputs that the pair predicts alike, and on "
    "those it does not, by ε. The groups differ in size, and scores of few inputs are high or low "
    "by chance.",
    needs=("subgroups",),
    is_by_epsilon=True,
)
def subgroups(results: Results) -> matplotlib.figure.Figure:
    """Boxes of the inputs where a pair agrees beside those where it disagrees."""
    assert results.subgroups is not None
    table = results.with_weak(results.subgroups)
    return draw_compared(table, "group", COLOURS, is_named=results.has_named_places)
