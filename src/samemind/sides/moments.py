"""How a score moves with the weight of each input, for functions of covariances in whitened form.

A score that is a function of the covariances of both sides and of their cross-covariance has a
derivative with respect to each of the three, and each of them is a sum over the inputs. So one
derivative per pair gives the influence of every input. The covariances are expressed in the
principal directions of each side, where they are diagonal: a function of a covariance, such as
its inverse root, is then known to first order in closed form, and nothing is differentiated
through an eigenproblem.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from samemind.lazy import torch
from samemind.sides.pair import Pair
from samemind.sides.whitening import directions, rotated_cross_covariance

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Covariance:
    """A covariance near its own principal directions, `(r, r)`.

    `variances` `(r,)` is the diagonal at the point, descending; `matrix` has that value and may be
    differentiated. The functions below have the exact value and the exact derivative there (the
    divided differences of Daleckii and Krein, 1965).
    """

    variances: Tensor
    matrix: Tensor

    @property
    def trace(self) -> Tensor:
        """The sum of the variances, `()`."""
        return self.matrix.diagonal().sum()

    @property
    def with_trace_one(self) -> Covariance:
        """The covariance of the same representation at Frobenius norm one."""
        return Covariance(self.variances / self.variances.sum(), self.matrix / self.trace)

    def root(self) -> Tensor:
        """The symmetric square root."""
        roots = self.variances.sqrt()
        return self._expanded(roots, 1 / (roots[:, None] + roots))

    def inverse_root(self, kept: int | None = None) -> Tensor:
        """The inverse of the symmetric root on the `kept` leading directions, 0 on the others."""
        roots = self.variances.sqrt()
        values = 1 / roots
        slopes = -values[:, None] * values / (roots[:, None] + roots)
        if kept is not None and kept < len(roots):
            values = values.clone()
            values[kept:] = 0
            gaps = self.variances[:kept, None] - self.variances[kept:]
            slopes[kept:, kept:] = 0
            slopes[:kept, kept:] = values[:kept, None] / gaps
            slopes[kept:, :kept] = slopes[:kept, kept:].T
        return self._expanded(values, slopes)

    def ridge_inverse(self, ridge: float) -> Tensor:
        """The inverse after the ridge was added to every variance."""
        values = 1 / (self.variances + ridge)
        return self._expanded(values, -values[:, None] * values)

    def _expanded(self, values: Tensor, slopes: Tensor) -> Tensor:
        change = self.matrix - torch.diag(self.variances)
        return torch.diag(values) + slopes * change


Formula = Callable[[Covariance, Covariance, "Tensor"], "Tensor"]


def influence(pair: Pair, formula: Formula, rows: slice | Tensor) -> Tensor:
    """The influence of these inputs on a score, `(rows,)` in float64; its mean over all is zero.

    **Arguments:**

    - `formula`: gives the score `()` from both covariances, in the principal directions of each
        side, and the cross-covariance in the same; it may assume no scale of them.
    - `rows`: the inputs that are asked for.

    **Cost:** the derivative of the formula, and O(D1² + D1 D2 + D2²) per input.
    """
    sides = [directions(side) for side in (pair.a, pair.b)]
    parts = [
        *(torch.diag(side.variances) for side in sides),
        rotated_cross_covariance(pair).clone(),
    ]
    with torch.enable_grad():
        first, second, cross = (part.requires_grad_() for part in parts)
        score = formula(
            Covariance(sides[0].variances, first), Covariance(sides[1].variances, second), cross
        )
        slopes = torch.autograd.grad(score, parts, materialize_grads=True)
    n = pair.n_inputs
    with torch.no_grad():
        if not all(bool(slope.isfinite().all()) for slope in slopes):
            # At distance zero a root has no slope, and there is nothing that could vary either.
            return torch.zeros(n, dtype=torch.float64, device=pair.a.device)[rows]
        total = sum((slope * part).sum() for slope, part in zip(slopes, parts, strict=True))
        a, b = (side.vectors for side in sides)
        of_first, of_cross, of_second = (
            a @ slopes[0] @ a.T,
            b @ slopes[2].T @ a.T,
            b @ slopes[1] @ b.T,
        )

        def make(some: slice | Tensor) -> Tensor:
            x, y = (side.factor_rows(some).double() for side in (pair.a, pair.b))
            of_x, of_y = x @ of_first + y @ of_cross, y @ of_second
            return torch.linalg.vecdot(x, of_x) + torch.linalg.vecdot(y, of_y)

        return n * pair.by_pieces(make, rows) - total
