"""The polar factor and the nuclear norm of a matrix: of a decomposition, or without one.

A GPU is slow at eigenproblems and waits for the host in each of them. There an iteration takes
their place that consists of products only.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt
from typing import TYPE_CHECKING

from samemind.lazy import torch
from samemind.sides import preprocessing

if TYPE_CHECKING:
    from torch import Tensor

#: Singular values from this share of the largest on are brought to one by the iteration.
SMALLEST = 1e-10


def nuclear_norm(matrix: Tensor) -> Tensor:
    """The sum of the singular values of a matrix, `()`, in float64."""
    if matrix.device.type != "cpu":
        return polar_factor(matrix)[1]
    return preprocessing.singular_values(matrix).sum()


def polar_factor(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """The matrix with all its singular values set to one, or to zero where they are zero.

    **Returns:** it, and the sum of the singular values that the matrix has, `()`, in float64.

    On a CPU by a decomposition; values below 1e-7 of the largest are taken for zero when the
    matrix is large: their directions are rounding. Elsewhere by `newton_schulz_polar_factor`.
    """
    if matrix.device.type != "cpu":
        polar = newton_schulz_polar_factor(matrix)
        return polar, (polar * matrix).sum()
    is_wide = matrix.shape[0] <= matrix.shape[1]
    narrow = (matrix if is_wide else matrix.T).double().contiguous()
    if narrow.shape[0] <= 128:
        left, values, right = torch.linalg.svd(narrow, full_matrices=False)
        kept = (values > 1e-12 * values[0]).to(values)
        polar = (left * kept) @ right
    else:
        squares, vectors = preprocessing.symmetric_eigenvectors(preprocessing.smaller_gram(narrow))
        values = squares.clamp_min(0).sqrt()
        inverse = torch.where(squares > 1e-14 * squares[-1], 1 / values, 0.0)
        polar = (vectors * inverse) @ (vectors.T @ narrow)
    return polar if is_wide else polar.T, values.sum()


def newton_schulz_polar_factor(matrix: Tensor) -> Tensor:
    """The polar factor by a scaled Newton-Schulz iteration, in float64: products and nothing else.

    Its steps bring every singular value above `SMALLEST` of the largest to one to the last digit;
    smaller ones to less than one. So the product with the matrix never exceeds the nuclear norm,
    and falls short of it by at most the sum of those.

    Chen and Chow (2014), "A stable scaling of Newton-Schulz for improving the sign function
    computation of a Hermitian matrix".

    **Cost:** 29 steps of two products with the smaller side; nothing of it waits for the host.
    """
    is_wide = matrix.shape[0] < matrix.shape[1]
    x = (matrix.T if is_wide else matrix).double()
    # The largest singular value is at most the root of the norm of the Gram matrix.
    x = x / torch.linalg.matrix_norm(x.T @ x).sqrt()
    for scale in _scales():
        x = 1.5 * scale * x - 0.5 * scale**3 * (x @ (x.T @ x))
    return x.T if is_wide else x


def _scales() -> Iterator[float]:
    """The scale of each step, which depends on the smallest singular value alone."""
    low = SMALLEST
    while 1 - low > 1e-15:
        # With it the cubic takes the ends of what may still be there, low and 1, to one value.
        scale = sqrt(3 / (1 + low + low**2))
        yield scale
        low = min(scale * low * (3 - (scale * low) ** 2) / 2, 1.0)
