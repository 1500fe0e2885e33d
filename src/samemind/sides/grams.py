"""Centred Gram matrices of many layers on the same inputs: all pairs of layers as one product."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from samemind.lazy import torch
from samemind.sides.side import Side

if TYPE_CHECKING:
    from torch import Tensor

#: Units of a layer whose products are taken at once.
UNITS_AT_ONCE = 8192
#: Layers of one model whose products with all of the other are taken at once.
LAYERS_AT_ONCE = 16
#: Rows of the Gram matrices that say how alike those of one model are to each other.
ROWS_FOR_LIKENESS = 128


class Grams:
    """The Gram matrices of L layers at trace one, doubly centred, or U-centred (debiased).

    - `rows`: `(N, L, N)`, row by row, so that products of all pairs of layers come row by row too.
    - `own`: the sum of squares of each row, `(N, L)` in float64; NaN for a constant layer.
    - `dimension`, `fourth`: of each layer, `(L,)`: 1 / ‖K‖², and Σ K_ii² / ‖K‖², of the doubly
      centred one.

    In float64 where a layer was given so, else in float32.

    **Cost:** O(N² D) per layer, from blocks of units; memory for L N² numbers.

    **Source:** Székely and Rizzo (2014) for U-centring; Kornblith et al. (2019).
    """

    def __init__(self, sides: Sequence[Side], *, is_debiased: bool) -> None:
        self.is_debiased = is_debiased
        n = self.n_inputs = sides[0].n_inputs
        given = [side.given_rows(slice(None)) for side in sides]
        is_double = any(values.dtype == torch.float64 for values in given)
        kept = torch.float64 if is_double else torch.float32
        device = given[0].device
        self.rows = torch.empty((n, len(sides), n), dtype=kept, device=device)
        self.own = torch.empty((n, len(sides)), dtype=torch.float64, device=device)
        size, fourth = [], []
        for i, values in enumerate(given):
            gram = _centred_gram(values)
            squares, diagonal = gram.square().sum(), gram.diagonal()
            size.append(squares)
            fourth.append(diagonal.square().sum() / squares)
            if is_debiased:
                gram = _u_centred(gram)
            own = gram.square().sum(1)
            # What is left of a difference of equals is rounding.
            is_there = own.sum() > 1e-12 * squares
            self.own[:, i] = torch.where(is_there, own, torch.nan)
            self.rows[:, i] = gram.to(kept)
        self.dimension = 1 / torch.stack(size)
        self.fourth = torch.stack(fourth)

    def __len__(self) -> int:
        return self.rows.shape[1]

    @property
    def norms(self) -> Tensor:
        """The Frobenius norm of each, `(L,)`."""
        return self.own.sum(0).sqrt()

    def permuted(self, order: Tensor) -> Tensor:
        """`rows` with the inputs in another order."""
        return self.rows[order][:, :, order]

    def likeness(self) -> Tensor:
        """The cosine of each two of these matrices, `(L, L)` in float64, from some of their rows.

        Positive semidefinite, with ones on the diagonal.
        """
        step = max(self.n_inputs // ROWS_FOR_LIKENESS, 1)
        some = self.rows[::step].transpose(0, 1).flatten(1)
        products = (some @ some.T).double()
        if not self.is_debiased:
            # Over orders only what is beside the mean of the diagonal varies; the trace is one.
            share = len(self.rows[::step]) / self.n_inputs
            products = products - share / (self.n_inputs - 1)
        scale = products.diagonal().clamp_min(1e-300).rsqrt()
        return products * scale[:, None] * scale


def _centred_gram(values: Tensor) -> Tensor:
    """The Gram matrix of centred rows at trace one, `(N, N)` in float64; NaN if constant."""
    n = len(values)
    values = values.flatten(1)
    working = values.dtype if values.dtype == torch.float64 else torch.float32
    total = torch.zeros((n, n), dtype=torch.float64, device=values.device)
    for start in range(0, values.shape[1], UNITS_AT_ONCE):
        block = values[:, start : start + UNITS_AT_ONCE]
        # In float64 first: a large common offset would leave few digits.
        block = (block.double() - block.double().mean(0)).to(working)
        total += block @ block.T
    means = total.mean(1)
    total = total - means - means[:, None] + means.mean()
    return total / total.diagonal().sum()


def _u_centred(gram: Tensor) -> Tensor:
    n, diagonal = len(gram), gram.diagonal()
    shift = diagonal.sum() / (2 * (n - 1) * (n - 2)) - diagonal / (n - 2)
    found = gram - shift - shift[:, None]
    return found.fill_diagonal_(0.0)


def products_by_row(first: Grams, second: Grams) -> Iterator[tuple[slice, Tensor]]:
    """Row i of each of the first times row i of each of the second, `(N, some layers, L')`.

    With the layers of the first that it is of; in float64, from products in the kept precision.

    **Cost:** O(N² L L'), in all.
    """
    other = second.rows.transpose(1, 2)
    for start in range(0, len(first), LAYERS_AT_ONCE):
        layers = slice(start, min(start + LAYERS_AT_ONCE, len(first)))
        yield layers, torch.bmm(first.rows[:, layers], other).double()


def products(first: Grams, second: Tensor) -> Tensor:
    """The sum over all entries of each of the first times each of the second, `(L, L')`.

    **Arguments:** `second` is the `rows` of others, or those of `permuted`.
    """
    mine = first.rows.transpose(0, 1).flatten(1)
    return (mine @ second.transpose(0, 1).flatten(1).T).double()
