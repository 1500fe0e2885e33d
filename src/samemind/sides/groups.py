"""Rows that were not drawn one by one: the words of a text are one draw, and count as one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def of_groups(influences: Tensor, groups: Tensor) -> Tensor:
    """The influences of whole groups `(G, …)`, from those of their rows `(N, …)`.

    What the rows of one group move together is one draw: their sum, scaled by G / N so that the
    formulas for N rows hold for G groups (Liang and Zeger, 1986, Biometrika 73).

    **Arguments:** `groups` `(N,)` are numbers from 0 up, with no number left out.
    """
    count = int(groups.max()) + 1
    totals = influences.new_zeros(count, *influences.shape[1:])
    return totals.index_add_(0, groups, influences) * (count / len(influences))


def jackknife_variance(influences: Tensor) -> Tensor:
    """The squared standard error `(…)` of scores that draws have these influences on, `(N, …)`."""
    n = len(influences)
    return influences.square().sum(0) / n / (n - 1)
