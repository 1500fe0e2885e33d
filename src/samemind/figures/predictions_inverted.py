"""The paper's Figure 3: predictions on inverted inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samemind.figures._predictions import draw_predictions
from samemind.figures.base import Results, figure

if TYPE_CHECKING:
    import matplotlib.figure


@figure(
    "predictions_inverted",
    "Predictions on inverted inputs",
    shows="Agreement and JSDSim of all ordered pairs, both models seeing the inverted images of "
    "the first, by ε.",
    needs=("inverted_predictions",),
    paper="Figure 3",
    studies="imagenet1k cifar10",
    is_by_epsilon=True,
    is_of_study=True,
    quantities=("jsd",),
)
def predictions_inverted(results: Results) -> matplotlib.figure.Figure:
    """Agreement and JSDSim on inverted inputs."""
    return draw_predictions(results, "inverted", has_bounds=False)
