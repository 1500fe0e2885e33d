"""Why two models differ: the inputs that drive a score. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from samemind.errors import UndefinedScore
from samemind.lazy import torch
from samemind.measures import measure
from samemind.measures.base import Pair, Side

if TYPE_CHECKING:
    from torch import Tensor

SHOWN_NEIGHBOURS = 5


def driving_inputs(pair: Pair, measures: Sequence[str], *, count: int) -> Iterator[dict[str, Any]]:
    """For each measure a row for the inputs that add most and least to its score.

    **Arguments:**

    - `count`: how many of each; measures in which no input has a share have no rows.

    **Returns:** rows with the number of the input, its contribution (the mean over all inputs is
    the score), what both models predict for it and its nearest neighbours in both.
    """
    for name in measures:
        try:
            contributions = measure(name).contributions(pair)
        except UndefinedScore:
            continue
        if contributions is None:
            continue
        # Stable, so that ties fall alike on every machine.
        order = torch.argsort(contributions, stable=True)
        chosen = torch.cat([order[:count], order[-count:]]).unique()
        columns = {
            "input": chosen,
            "contribution": contributions[chosen],
            "prediction_a": pair.a.predictions[chosen],
            "prediction_b": pair.b.predictions[chosen],
            "neighbours_a": nearest(pair.a, chosen),
            "neighbours_b": nearest(pair.b, chosen),
        }
        for row in zip(*(column.cpu().tolist() for column in columns.values()), strict=True):
            yield {"measure": name, **dict(zip(columns, row, strict=True))}


def nearest(side: Side, rows: Tensor) -> Tensor:
    """The nearest other inputs of some inputs, by the cosine of centred representations."""
    lengths = side.row_lengths
    # The length of the row itself changes no order.
    likeness = side.unit[rows] @ side.unit.T * torch.where(lengths > 0, 1 / lengths, 0.0)
    likeness[torch.arange(len(rows), device=rows.device), rows] = -torch.inf
    count = min(SHOWN_NEIGHBOURS, likeness.shape[1] - 1)
    return likeness.topk(count, dim=1).indices
