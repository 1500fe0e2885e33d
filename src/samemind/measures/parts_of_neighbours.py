"""Shared neighbours taken apart: between the classes of the inputs, and within them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samemind.measures._parts import INVARIANCES, floor_between, residuals
from samemind.measures.base import Pair, Score, measure
from samemind.measures.neighbour_ranks import mutual_knn
from samemind.sides.parts import (
    between_classes,
    classes_of,
    shuffled_between,
    shuffled_within,
)

if TYPE_CHECKING:
    from torch import Tensor

_REFERENCE = "Huh et al. (2024), The Platonic Representation Hypothesis, arXiv:2405.07987"


def _shared(pair: Pair, *, k: int) -> Tensor:
    assert mutual_knn.per_input is not None
    return mutual_knn.per_input(residuals(pair), k=k)


def _influence(pair: Pair, *, k: int) -> Tensor | None:
    assert mutual_knn.influence_of_inputs is not None
    return mutual_knn.influence_of_inputs(residuals(pair), k=k)


@measure(
    reads="representation",
    family="neighbours",
    bounds=(0.0, 1.0),
    identical=1.0,
    needs_labels=True,
    invariances=INVARIANCES,
    reference=f"{_REFERENCE}; of residuals from class means",
    cost="O(N² / 8) bytes per pair and k, after O(N² D) per model for all k",
    per_input=_shared,
    influence=_influence,
    shuffle=shuffled_within,
)
def mutual_knn_within_classes(pair: Pair, *, k: int = 10) -> Score:
    r"""The mean share of the k nearest in common after class means are taken away; k = 10.

    `mutual_knn` of the residuals from the class means, in [0, 1]: the neighbours are those that
    would be nearest if all classes lay in one place. For its floor, inputs are shuffled inside
    their classes.

    >>> R = [[0.0, 1.0], [0.1, 1.2], [1.0, 0.0], [8.0, 9.0], [8.1, 9.2], [9.0, 8.0]]
    >>> S = [[-y, x] for x, y in R]
    >>> mutual_knn_within_classes.at(2)(R, S, labels=[0, 0, 0, 1, 1, 1])
    1.0
    """
    return mutual_knn.compute(residuals(pair), k=k)


def _means(pair: Pair, k: int) -> Pair:
    classes_of(pair).check(fewest_classes=k + 2)
    return between_classes(pair)


@measure(
    reads="representation",
    family="neighbours",
    bounds=(0.0, 1.0),
    identical=1.0,
    needs_labels=True,
    invariances=INVARIANCES,
    reference=f"{_REFERENCE}; of class means",
    cost="O(N D) per model, then O(C²)",
    floor=lambda pair, *, k: floor_between(pair, mutual_knn.at(k)),
    shuffle=shuffled_between,
    no_standard_error="which classes are nearest is held fixed",
    streams=True,
)
def mutual_knn_between_classes(pair: Pair, *, k: int = 3) -> Score:
    r"""The mean share of the k nearest other classes in common, by their means; k = 3.

    `mutual_knn` of the class means, each class once, in [0, 1]. It needs two classes more than k;
    for its floor, the classes are shuffled.

    >>> R = [[0.0, 1.0], [0.1, 1.2], [1.0, 0.0], [1.2, 0.1]]
    >>> S = [[-y, x] for x, y in R]
    >>> mutual_knn_between_classes.at(1)(R, S, labels=[0, 1, 2, 3])
    1.0
    """
    return mutual_knn.compute(_means(pair, k), k=k)
