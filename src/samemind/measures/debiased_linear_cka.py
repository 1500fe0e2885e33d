"""Linear centred kernel alignment without its bias: what the paper's released code computes."""

from __future__ import annotations

from math import nan
from typing import TYPE_CHECKING

from samemind.lazy import LazyModule
from samemind.measures.base import Invariance, Pair, Side, measure

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = LazyModule("torch")


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
    squares = side.unit_row_squares
    return _debiased(side.gram_norm_squared, squares, squares)


def _score(pair: Pair) -> Tensor:
    cross = _debiased(pair.cross_norm_squared, pair.a.unit_row_squares, pair.b.unit_row_squares)
    norms = [side.whole("debiased_norm", _own) for side in (pair.a, pair.b)]
    # A norm that is not positive has no root: NaN, and so an error, never an invented score.
    return cross / (norms[0].sqrt() * norms[1].sqrt())


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
