"""Aligned cosine: how far each input points the same way after the best rotation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samemind.errors import UndefinedScore
from samemind.measures.base import Invariance, Pair, measure

if TYPE_CHECKING:
    from torch import Tensor


def _cosines(pair: Pair) -> Tensor:
    lengths = (pair.a.unit_row_squares * pair.b.unit_row_squares).sqrt()
    if bool((lengths == 0).any()) and float(pair.a.norm * pair.b.norm) > 0:
        raise UndefinedScore(
            f"The representation of input {int((lengths == 0).int().argmax())} is the mean "
            f"itself, so it points nowhere. Leave that input out, or use procrustes_similarity."
        )
    return (pair.aligned_rows / lengths).clamp(-1, 1)


@measure(
    reads="representation",
    family="alignment",
    bounds=(-1.0, 1.0),
    identical=1.0,
    invariances={
        Invariance.UNIT_PERMUTATION,
        Invariance.ORTHOGONAL,
        Invariance.ISOTROPIC_SCALING,
        Invariance.TRANSLATION,
    },
    reference="Hamilton, Leskovec and Jurafsky (2016), Diachronic word embeddings, "
    "arXiv:1605.09096",
    cost="O(N D1 D2 + D1 D2 min(D1, D2)) per pair, three times that of procrustes_similarity",
    per_input=_cosines,
    streams=True,
)
def aligned_cosine(pair: Pair) -> Tensor:
    r"""Mean cosine of the inputs' representations after the best rotation, in [-1, 1].

    $$\frac1N \sum_i \cos(Q^\top R_i,\, S_i), \qquad Q = \arg\min_{Q^\top Q = I} \|RQ - S\|_F$$

    with centred columns at norm one. In contrast to `procrustes_similarity`, each input counts
    the same, however far it is from the mean. The standard error holds the rotation fixed.

    >>> R = [[0.0, 1.0], [1.0, 0.0], [2.0, 5.0]]
    >>> round(aligned_cosine(R, [[7 - 3 * y, 7 + 3 * x] for x, y in R]), 6)
    1.0
    """
    return _cosines(pair).mean()
