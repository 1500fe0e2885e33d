"""The family of measures: one file per member, and what they share.

Measures of predictions read logits, measures of representations read activations. Each is a
pure function with its promises beside it; `MEASURES` finds them by name, and `knn_jaccard@100`
is `knn_jaccard` at k = 100.
"""

from samemind.measures.base import (
    MEASURES,
    Calibrated,
    Floor,
    Invariance,
    Measure,
    Pair,
    Side,
)

__all__ = [
    "MEASURES",
    "Calibrated",
    "Floor",
    "Invariance",
    "Measure",
    "Pair",
    "Side",
    "measure",
]


def measure(name: str) -> Measure:
    """The measure of this name.

    **Raises:** `UnknownName`, with the nearest name that there is.

    >>> measure("knn_jaccard@100").settings["k"]
    100
    """
    return MEASURES[name]
