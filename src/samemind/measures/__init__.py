"""The family of measures: one file per member, and what they share.

Measures of predictions read logits, measures of representations read activations. Each is a
pure function with its promises beside it; `MEASURES` finds them by name, and `knn_jaccard@100`
is `knn_jaccard` at k = 100.
"""

import warnings

from samemind.measures.aliases import canonical
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
    """The measure of this name; what is usually called so where it is another's short name.

    A short name such as `cka` gives a warning that says what it is read as.

    **Raises:** `UnknownName`, with the nearest name that there is.

    >>> measure("knn_jaccard@100").settings["k"]
    100
    """
    found, said = canonical(name)
    if said:
        warnings.warn(said, stacklevel=2)
    return MEASURES[found]
