"""Debiased linear CKA taken apart: between the classes of the inputs, and within them."""

from __future__ import annotations

from math import nan, sqrt
from typing import TYPE_CHECKING

from samemind.lazy import torch
from samemind.measures._parts import (
    INVARIANCES,
    floor_between,
    influence_of_means,
    slopes_of_debiased_cka,
)
from samemind.measures.base import Floor, Pair, Score, Side, measure
from samemind.measures.debiased_linear_cka import debiased_linear_cka
from samemind.measures.shuffling import skewed_floor
from samemind.sides.parts import (
    Classes,
    between_classes,
    block_squares,
    classes_of,
    shuffled_between,
    shuffled_within,
    weighted_sums,
    within_classes,
)

if TYPE_CHECKING:
    from torch import Tensor

FEWEST = 4  # inputs of a class, or classes, whose Gram matrix can be U-centred


# The Gram matrices K and L of residuals have rows that sum to zero over each class. Within a class
# they are U-centred (Székely & Rizzo 2014), between two classes there is nothing to take away. Over
# all orders of one side inside its classes, the mean of the product of both is then exactly 0.


def _debiased(product: Tensor, k: Tensor, other: Tensor, classes: Classes) -> Tensor:
    """The sum over inputs i, j of A_ij B_ij, from that of K_ij L_ij and both diagonals."""
    n = classes.counts
    totals = classes.sums(k) * classes.sums(other) / ((n - 1) * (n - 2))
    diagonal = k * other * (1 + 2 / (n - 2))[classes.codes]
    return product - diagonal.sum() + totals.sum()


def _own(side: Side, classes: Classes) -> Tensor:
    def make() -> Tensor:
        squares, biased = side.unit_row_squares, side.gram_norm_squared
        own = _debiased(biased, squares, squares, classes)
        # What is left of a difference of equals is rounding, and a score by it would be invented.
        return torch.where(own > 1e-12 * biased, own, nan)

    return side.once("debiased norm within classes", make)


def _residuals(pair: Pair) -> tuple[Pair, Classes]:
    classes = classes_of(pair)
    classes.check(fewest_inputs=FEWEST)
    return within_classes(pair), classes


def _norms(found: Pair, classes: Classes) -> Tensor:
    return (_own(found.a, classes) * _own(found.b, classes)).sqrt()


def _score(pair: Pair) -> Tensor:
    found, classes = _residuals(pair)
    squares = found.a.unit_row_squares, found.b.unit_row_squares
    return _debiased(found.cross_norm_squared, *squares, classes) / _norms(found, classes)


def _row_shift(side: Side, classes: Classes) -> Tensor:
    squares, n = side.unit_row_squares, classes.counts
    of_class = classes.sums(squares) / (2 * (n - 1) * (n - 2))
    return of_class[classes.codes] - squares / (n - 2)[classes.codes]


def _row_parts(biased: Tensor, a: Side, b: Side, classes: Classes, rows: slice | Tensor) -> Tensor:
    """The sum over j of A_ij B_ij for these i; `biased` is the same for K and L."""
    codes = classes.codes[rows]
    every_m, every_other = _row_shift(a, classes), _row_shift(b, classes)
    k, m = a.unit_row_squares[rows], every_m[rows]
    other_k, other_m = b.unit_row_squares[rows], every_other[rows]
    # Off the diagonal of a class A_ij = K_ij - m_i - m_j, and its rows sum to zero.
    of_other = _times_in_class(a, every_other, classes, rows)
    of_m = _times_in_class(b, every_m, classes, rows)
    return (
        (biased - k * other_k)
        + other_m * k
        - (of_other - k * other_m)
        - (of_m - other_k * m)
        + other_m * (classes.sums(every_m)[codes] - m)
        + (classes.sums(every_m * every_other)[codes] - m * other_m)
    )


def _times_in_class(side: Side, weights: Tensor, classes: Classes, rows: slice | Tensor) -> Tensor:
    """For these i, the sum over the j of the class of i of K_ij times the weight of j."""
    sums = weighted_sums(side, weights, classes)

    def make(some: slice | Tensor) -> Tensor:
        return (side.factor_rows(some).double() * sums[classes.codes[some]]).sum(1)

    return side.by_pieces(make, rows)


def _shares(pair: Pair) -> Tensor:
    found, classes = _residuals(pair)
    parts = _row_parts(found.cross_rows, found.a, found.b, classes, slice(None))
    return pair.n_inputs * parts / _norms(found, classes)


def _own_shares(side: Side, classes: Classes) -> Tensor:
    def make() -> Tensor:
        parts = _row_parts(side.gram_row_squares, side, side, classes, slice(None))
        return side.n_inputs * parts / _own(side, classes)

    return side.once("debiased shares within classes", make)


def _influence(pair: Pair, *, rows: slice | Tensor) -> Tensor:
    # Class means do not move a product of residuals to first order.
    found, classes = _residuals(pair)
    own = [_own_shares(side, classes)[rows] for side in (found.a, found.b)]
    parts = _row_parts(found.cross_at(rows), found.a, found.b, classes, rows)
    moved = 2 * pair.n_inputs * parts / _norms(found, classes)
    return moved - _score(pair) * (own[0] + own[1])


def _floor(pair: Pair) -> Floor | None:
    found, classes = _residuals(pair)
    first, second = (block_squares(side, classes) for side in (found.a, found.b))
    if first is None or second is None:
        return None
    blocks = [first, second]
    n = classes.counts
    squares = [side.unit_row_squares for side in (found.a, found.b)]
    totals = [classes.sums(k) for k in squares]
    own = [
        block.diagonal()
        - classes.sums(k.square()) * (1 + 2 / (n - 2))
        + total.square() / ((n - 1) * (n - 2))
        for block, k, total in zip(blocks, squares, totals, strict=True)
    ]
    # Blocks of different classes are shuffled by different orders, and so vary independently.
    variance = float((2 * own[0] * own[1] / (n * (n - 3))).sum())
    across = 2 * first * second / ((n - 1)[:, None] * (n - 1))
    variance += float(across.sum() - across.diagonal().sum())
    biased_mean = float((totals[0] * totals[1] / (n - 1)).sum())
    norms = float(_norms(found, classes))
    deviation = sqrt(max(variance, 0.0))
    return skewed_floor(0.0, variance / norms**2, 2 * deviation / biased_mean)


@measure(
    reads="representation",
    family="kernel alignment",
    bounds=(-1.0, 1.0),
    identical=1.0,
    needs_labels=True,
    invariances=INVARIANCES,
    reference="Song et al. (2012), JMLR 13, with the inputs shuffled inside their classes",
    cost="O(N D1 D2) per pair, after O(N D²) per model; the floor O(C D²) more",
    per_input=_shares,
    influence=_influence,
    floor=_floor,
    shuffle=shuffled_within,
    streams=True,
)
def debiased_linear_cka_within_classes(pair: Pair) -> Score:
    r"""Debiased linear CKA of what differs between inputs of one class, in [-1, 1].

    Of the residuals from the class means, whose Gram matrices are U-centred class by class, so
    that 0 is what two models have in common that share nothing but the classes: the mean over all
    orders of the inputs inside their classes is exactly 0. With one class it is
    `debiased_linear_cka`. Every class needs four inputs.

    >>> R = [[0.0, 1.0], [1.0, 0.0], [2.0, 5.0], [3.0, 1.0], [4.0, 4.0], [9.0, 2.0]]
    >>> R += [[x + 30, 2 * y] for x, y in R]
    >>> turned = [[-y, x] for x, y in R]
    >>> labels = [0] * 6 + [1] * 6
    >>> round(debiased_linear_cka_within_classes(R, turned, labels=labels), 6)
    1.0
    """
    return _score(pair)


def _means(pair: Pair) -> Pair:
    classes_of(pair).check(fewest_classes=FEWEST)
    return between_classes(pair)


def _influence_between(pair: Pair) -> Tensor:
    means = _means(pair)
    slopes = slopes_of_debiased_cka(means.a.representation, means.b.representation)
    return influence_of_means(pair, *slopes)


@measure(
    reads="representation",
    family="kernel alignment",
    bounds=(-1.0, 1.0),
    identical=1.0,
    needs_labels=True,
    invariances=INVARIANCES,
    reference="Song et al. (2012), JMLR 13, of class means",
    cost="O(N D) per model, then O(C D1 D2) per pair",
    influence=_influence_between,
    floor=lambda pair: floor_between(pair, debiased_linear_cka),
    shuffle=shuffled_between,
    streams=True,
)
def debiased_linear_cka_between_classes(pair: Pair) -> Score:
    r"""Debiased linear CKA of the class means, each class once, in [-1, 1].

    How alike the arrangement of the classes is, whatever lies within them: 0 is what models have
    in common whose classes do not correspond. It needs four classes; with few of them it says
    little, see its floor. Its standard error is over inputs, for these classes.

    >>> R = [[0.0, 1.0], [2.0, 0.0], [4.0, 9.0], [3.0, 1.0], [0.0, 4.0]]
    >>> S = [[-y, x] for x, y in R]
    >>> round(debiased_linear_cka_between_classes(R, S, labels=[0, 1, 2, 3, 4]), 6)
    1.0
    """
    return debiased_linear_cka.compute(_means(pair))
