"""Linear centred kernel alignment without its bias: what the paper's released code computes."""

from __future__ import annotations

from math import nan
from typing import TYPE_CHECKING

from samemind.lazy import torch
from samemind.measures.base import Floor, Invariance, Pair, Side, measure
from samemind.measures.shuffling import alignment_floor

if TYPE_CHECKING:
    from torch import Tensor


def _debiased(product: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """The unbiased HSIC times N(N - 3), from ‖RᵀS‖² and the squared norms of the rows."""
    # Song et al. (2012), equation 5, for kernels whose rows sum to zero: with a zero diagonal,
    # row i then sums to minus its squared norm.
    n = len(first)
    if n < 4:
        return torch.full_like(product, nan)
    diagonal = first @ second
    totals = first.sum() * second.sum()
    return product - diagonal + totals / ((n - 1) * (n - 2)) - 2 * diagonal / (n - 2)


def _own(side: Side) -> Tensor:
    squares, biased = side.unit_row_squares, side.gram_norm_squared
    own = _debiased(biased, squares, squares)
    # What is left of a difference of equals is rounding, and a score by it would be invented.
    return torch.where(own > 1e-12 * biased, own, nan)


def _norms(pair: Pair) -> Tensor:
    first, second = (side.whole("debiased_norm", _own) for side in (pair.a, pair.b))
    # A norm that is not positive has no root: NaN, and so an error, never an invented score.
    return first.sqrt() * second.sqrt()


def _score(pair: Pair) -> Tensor:
    cross = _debiased(pair.cross_norm_squared, pair.a.unit_row_squares, pair.b.unit_row_squares)
    return cross / _norms(pair)


def _row_parts(biased: Tensor, a: Side, b: Side, rows: slice | Tensor = slice(None)) -> Tensor:
    """The sum over j of A_ij B_ij for these i, for the U-centred Gram matrices A and B.

    `biased` is the same for the Gram matrices themselves. Székely & Rizzo (2014): off the
    diagonal, A_ij = K_ij - m_i - m_j; on it, 0; and its rows sum to 0.
    """
    every_m, every_other = _row_shift(a), _row_shift(b)
    k, m = a.unit_row_squares[rows], every_m[rows]
    other_k, other_m = b.unit_row_squares[rows], every_other[rows]
    of_other = a.gram_times(every_other, rows)
    # Of a side with itself the same, which need not be read from its source again.
    of_m = of_other if b is a else b.gram_times(every_m, rows)
    return (
        (biased - k * other_k)
        + other_m * k
        - (of_other - k * other_m)
        - (of_m - other_k * m)
        + other_m * (every_m.sum() - m)
        + (every_m @ every_other - m * other_m)
    )


def _row_shift(side: Side) -> Tensor:
    squares, n = side.unit_row_squares, side.n_inputs
    return squares.sum() / (2 * (n - 1) * (n - 2)) - squares / (n - 2)


def _shares(pair: Pair) -> Tensor:
    return pair.n_inputs * _row_parts(pair.cross_rows, pair.a, pair.b) / _norms(pair)


def _own_shares(side: Side) -> Tensor:
    parts = _row_parts(side.gram_row_squares, side, side)
    return side.n_inputs * parts / side.whole("debiased_norm", _own)


def _influence(pair: Pair, *, rows: slice | Tensor) -> Tensor:
    own = [side.rows("debiased_shares", _own_shares)[rows] for side in (pair.a, pair.b)]
    parts = _row_parts(pair.cross_at(rows), pair.a, pair.b, rows)
    return 2 * pair.n_inputs * parts / _norms(pair) - _score(pair) * (own[0] + own[1])


def _floor(pair: Pair) -> Floor | None:
    return alignment_floor(pair, is_debiased=True)


@measure(
    reads="representation",
    family="kernel alignment",
    bounds=(-1.0, 1.0),
    identical=1.0,
    invariances={
        Invariance.UNIT_PERMUTATION,
        Invariance.ORTHOGONAL,
        Invariance.ISOTROPIC_SCALING,
        Invariance.TRANSLATION,
    },
    reference="Song et al. (2012), JMLR 13; Nguyen et al. (2021), arXiv:2010.15327",
    cost="O(N D1 D2) per pair, after O(N D²) per model",
    per_input=_shares,
    influence=_influence,
    floor=_floor,
    sees="what linear_cka sees, without its bias: near 0 for unrelated models, so the one to "
    "read when inputs are few",
    cannot_see="directions of little variance",
    label="Linear CKA (debiased)",
    usual=4,
    streams=True,
)
def debiased_linear_cka(pair: Pair) -> Tensor:
    r"""Linear centred kernel alignment by the unbiased HSIC, in [-1, 1]; 0 for unrelated models.

    $$\frac{\mathrm{HSIC}_1(K, L)}{\sqrt{\mathrm{HSIC}_1(K, K)\,\mathrm{HSIC}_1(L, L)}},
    \qquad K = R R^\top,\; L = S S^\top$$

    The paper's released code computes this ("minibatch CKA" with one batch of all inputs), not
    the printed equation 4. Prefer it wherever N is not much larger than D. It needs N ≥ 4.

    >>> R = [[0.0, 1.0], [1.0, 0.0], [2.0, 5.0], [3.0, 1.0], [4.0, 4.0]]
    >>> round(debiased_linear_cka(R, [[-y, x] for x, y in R]), 6)
    1.0
    """
    return _score(pair)
