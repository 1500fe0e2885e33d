"""Linear centred kernel alignment: biased, as equation 4 of the paper prints it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samemind.measures.base import Floor, Invariance, Pair, measure
from samemind.measures.shuffling import alignment_floor

if TYPE_CHECKING:
    from torch import Tensor


def _norms(pair: Pair) -> Tensor:
    return (pair.a.gram_norm_squared * pair.b.gram_norm_squared).sqrt()


def _shares(pair: Pair) -> Tensor:
    return pair.n_inputs * pair.cross_rows / _norms(pair)


def _influence(pair: Pair, *, rows: slice | Tensor) -> Tensor:
    # The numerator is the squared norm of a covariance of second order in the inputs' weights,
    # and so are both norms below it; each part's influence is twice its share, less its total.
    of_cross = 2 * pair.cross_at(rows) / _norms(pair)
    of_first = pair.a.gram_row_squares[rows] / pair.a.gram_norm_squared
    of_second = pair.b.gram_row_squares[rows] / pair.b.gram_norm_squared
    return pair.n_inputs * (of_cross - linear_cka.compute(pair) * (of_first + of_second))


def _floor(pair: Pair) -> Floor | None:
    return alignment_floor(pair, is_debiased=False)


@measure(
    reads="representation",
    family="kernel alignment",
    bounds=(0.0, 1.0),
    identical=1.0,
    invariances={
        Invariance.UNIT_PERMUTATION,
        Invariance.ORTHOGONAL,
        Invariance.ISOTROPIC_SCALING,
        Invariance.TRANSLATION,
    },
    reference="Kornblith et al. (2019), arXiv:1905.00414",
    cost="O(N D1 D2) per pair, after O(N D²) per model",
    per_input=_shares,
    influence=_influence,
    floor=_floor,
    sees="the arrangement of all inputs at once, weighted by variance",
    cannot_see="directions of little variance; it is biased upwards where units are many and "
    "inputs few",
    label="Linear CKA",
    usual=3,
    streams=True,
)
def linear_cka(pair: Pair) -> Tensor:
    r"""Linear centred kernel alignment of two representations, biased, in [0, 1].

    With centred columns,

    $$\frac{\|R^\top S\|_F^2}{\|R^\top R\|_F \, \|S^\top S\|_F}$$

    which is also the RV coefficient. Two unrelated representations score about D / (N + D), not
    0: see the floor, or `debiased_linear_cka`.

    >>> linear_cka([[0.0, 1.0], [1.0, 0.0], [2.0, 5.0]], [[1.0, 0.0], [0.0, -1.0], [5.0, -2.0]])
    1.0
    """
    return pair.cross_norm_squared / _norms(pair)
