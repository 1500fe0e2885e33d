"""The paper's Figure 1: do predictions converge?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from samemind.figures._predictions import draw_predictions
from samemind.figures.base import Results, figure

if TYPE_CHECKING:
    import matplotlib.figure


@figure(
    "predictions_natural",
    "Predictions on natural inputs",
    shows="Agreement and JSDSim of all pairs on natural inputs, by ε. Dashes above and below a "
    "point: the most and the least that the accuracies of its two models on these very inputs "
    "allow them to agree; lines: the bounds of Fort et al., mean over pairs, which a pair can "
    "cross. Neither where the labels of the inputs are not those of the models.",
    needs=("natural_predictions",),
    paper="Figure 1",
    studies="imagenet1k cifar10",
    is_by_epsilon=True,
    is_of_study=True,
    quantities=("jsd",),
)
def predictions_natural(results: Results) -> matplotlib.figure.Figure:
    """Agreement and JSDSim on natural inputs, with the bounds that accuracies impose."""
    return draw_predictions(results, "natural", has_bounds=True)
