"""How alike two networks are layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from samemind.errors import UndefinedScore
from samemind.lazy import pd
from samemind.measures import measure
from samemind.measures.base import Pair, Side

if TYPE_CHECKING:
    from torch import Tensor


def layer_map(
    first: Mapping[str, Tensor | Side],
    second: Mapping[str, Tensor | Side],
    name: str = "debiased_linear_cka",
) -> pd.DataFrame:
    """The score of every layer of one network with every layer of another: a row per pair.

    **Returns:** columns `layer_a`, `layer_b`, `measure`, `score` and `reason` (why a score is
    empty: a layer may be constant).

    **Cost:** what depends on one layer is computed once; the measure runs once per pair.
    """
    chosen = measure(name)
    sides_a, sides_b = (
        {
            n: rows if isinstance(rows, Side) else Side(representation=rows)
            for n, rows in layers.items()
        }
        for layers in (first, second)
    )
    rows = []
    for a, side_a in sides_a.items():
        for b, side_b in sides_b.items():
            score, reason = float("nan"), None
            try:
                score = chosen.score(Pair(side_a, side_b))
            except UndefinedScore as error:
                reason = str(error)
            rows.append(
                {"layer_a": a, "layer_b": b, "measure": name, "score": score, "reason": reason}
            )
    return pd.DataFrame(rows)
