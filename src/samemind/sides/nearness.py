"""The neighbours of each input in their order, and cosines between chosen inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samemind.lazy import LazyModule
from samemind.sides.neighbours import TIE, Rows
from samemind.sides.pair import Pair, Side

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = LazyModule("torch")


def neighbour_lists(side: Side, k: int) -> Tensor:
    """The k nearest others of each input as indices, `(N, k)`, ascending by index."""
    return side.neighbours(k).lists.long()


def cosines_at(side: Side, lists: Tensor) -> Tensor:
    """The cosine of each centred row with those that its list names, `(N, k)` in float64."""
    rows = Rows(side.representation, side.means, side.row_lengths)
    own = torch.arange(len(lists), device=lists.device)[:, None].expand_as(lists)
    return rows.cosines(own.flatten(), lists.flatten()).reshape(lists.shape)


def nearest_first(side: Side, k: int) -> Tensor:
    """The k nearest others of each input, `(N, k)`, the nearest first; of ties, the lower index."""

    def make() -> Tensor:
        lists = neighbour_lists(side, k)
        steps = (cosines_at(side, lists) / TIE).round()
        return lists.gather(1, steps.sort(dim=1, descending=True, stable=True).indices)

    return side.once(f"nearest first@{k}", make)


def is_listed(lists: Tensor, among: Tensor) -> Tensor:
    """Which entries of each row of `lists` are in the same row of `among`, booleans."""
    ascending = among.sort(1).values
    places = torch.searchsorted(ascending, lists.contiguous()).clamp(max=among.shape[1] - 1)
    return ascending.gather(1, places) == lists


def nan_unless_both_vary(pair: Pair, score: Tensor) -> Tensor:
    """The score, or NaN where a side is constant, so that its neighbours mean nothing."""
    varies = (pair.a.norm > 0) & (pair.b.norm > 0)
    return torch.where(varies, score, torch.nan)
