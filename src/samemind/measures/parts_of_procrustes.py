"""Procrustes similarity taken apart: between the classes of the inputs, and within them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samemind.measures._parts import (
    INVARIANCES,
    floor_between,
    influence_of_means,
    residuals,
    slopes_of_procrustes,
)
from samemind.measures.base import Pair, Score, measure
from samemind.measures.procrustes_similarity import procrustes_similarity
from samemind.sides.parts import (
    between_classes,
    classes_of,
    shuffled_between,
    shuffled_within,
)

if TYPE_CHECKING:
    from torch import Tensor

_REFERENCE = "Ding et al. (2021), arXiv:2108.01661; Williams et al. (2021), arXiv:2110.14739"


def _shares(pair: Pair) -> Tensor:
    assert procrustes_similarity.per_input is not None
    return procrustes_similarity.per_input(residuals(pair))


def _influence(pair: Pair, *, rows: slice | Tensor) -> Tensor:
    # Class means do not move a product of residuals to first order.
    assert procrustes_similarity.influence_of_inputs is not None
    found = procrustes_similarity.influence_of_inputs(residuals(pair), rows=rows)
    assert found is not None
    return found


@measure(
    reads="representation",
    family="alignment",
    bounds=(0.0, 1.0),
    identical=1.0,
    needs_labels=True,
    invariances=INVARIANCES,
    reference=f"{_REFERENCE}; of residuals from class means",
    cost="O(N D1 D2 + D1 D2 min(D1, D2)) per pair",
    per_input=_shares,
    influence=_influence,
    shuffle=shuffled_within,
    streams=True,
)
def procrustes_similarity_within_classes(pair: Pair) -> Score:
    r"""Procrustes similarity of what differs between inputs of one class, in [0, 1].

    Of the residuals from the class means. Read it beside its floor, for which the inputs are
    shuffled inside their classes. Every class needs two inputs.

    >>> R = [[0.0, 1.0], [1.0, 0.0], [2.0, 5.0], [12.0, 7.0], [19.0, 7.0]]
    >>> S = [[-y, x] for x, y in R]
    >>> round(procrustes_similarity_within_classes(R, S, labels=[0, 0, 0, 1, 1]), 6)
    1.0
    """
    return procrustes_similarity.compute(residuals(pair))


def _means(pair: Pair) -> Pair:
    classes_of(pair).check(fewest_classes=3)
    return between_classes(pair)


def _influence_between(pair: Pair) -> Tensor:
    means = _means(pair)
    return influence_of_means(
        pair, *slopes_of_procrustes(means.a.representation, means.b.representation)
    )


@measure(
    reads="representation",
    family="alignment",
    bounds=(0.0, 1.0),
    identical=1.0,
    needs_labels=True,
    invariances=INVARIANCES,
    reference=f"{_REFERENCE}; of class means",
    cost="O(N D) per model, then O(C D1 D2) per pair",
    influence=_influence_between,
    floor=lambda pair: floor_between(pair, procrustes_similarity),
    shuffle=shuffled_between,
    streams=True,
)
def procrustes_similarity_between_classes(pair: Pair) -> Score:
    r"""Procrustes similarity of the class means, each class once, in [0, 1].

    How alike the arrangement of the classes is, whatever lies within them. Few points turn onto one
    another easily, so read it beside its floor, for which the classes are shuffled. It needs three
    classes; its standard error is over inputs, for these classes.

    >>> R = [[0.0, 1.0], [2.0, 0.0], [4.0, 9.0], [3.0, 1.0]]
    >>> S = [[-y, x] for x, y in R]
    >>> round(procrustes_similarity_between_classes(R, S, labels=[0, 1, 2, 3]), 6)
    1.0
    """
    return procrustes_similarity.compute(_means(pair))
