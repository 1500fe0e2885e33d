"""Differences of single statistics of two models. They do not look at which input is which."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING

from samemind.errors import UndefinedScore
from samemind.lazy import torch
from samemind.measures.base import Invariance, Pair, Side, measure
from samemind.sides.distances import blocks

if TYPE_CHECKING:
    from torch import Tensor

_KEPT = {Invariance.UNIT_PERMUTATION, Invariance.ORTHOGONAL}
_WANG = "Wang et al. (2020), Towards understanding the instability of network embedding"


def _difference(pair: Pair, name: str, of: Callable[[Side], Tensor]) -> Tensor:
    if float(pair.a.norm) == 0 or float(pair.b.norm) == 0:
        return torch.tensor(torch.nan, dtype=torch.float64)
    first, second = (side.whole(name, of) for side in (pair.a, pair.b))
    return (first - second).abs()


def _influence(
    name: str, of: Callable[[Side], Tensor], moved: Callable[[Side], Tensor]
) -> Callable[[Pair], Tensor]:
    """The influence on a difference, from that of each input on the statistic of one model."""

    def influence(pair: Pair) -> Tensor:
        first, second = (side.whole(name, of) for side in (pair.a, pair.b))
        of_first, of_second = (
            side.rows(f"influence on {name}", moved) for side in (pair.a, pair.b)
        )
        return (first - second).sign() * (of_first - of_second)

    return influence


def _directions(side: Side) -> Tensor:
    """The rows as given, not centred, at length one, `(N, D)` in float64."""
    rows = side.representation.double()
    lengths = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    if bool((lengths == 0).any()):
        raise UndefinedScore(
            f"The representation of input {int((lengths == 0).int().argmax())} is zero, so it "
            f"has no direction. Leave that input out, or use magnitude_difference."
        )
    return rows / lengths


def _magnitude(side: Side) -> Tensor:
    return torch.linalg.vector_norm(side.means)


def _from_mean(side: Side) -> Tensor:
    return side.representation.double() - side.means


def _influence_on_magnitude(side: Side) -> Tensor:
    length = _magnitude(side)
    # A mean of zero has no direction in which it could grow: there the slope is left out.
    direction = side.means / length
    moved = side.by_pieces(lambda rows: (side.given_rows(rows).double() - side.means) @ direction)
    return torch.where(length > 0, moved, 0.0)


@measure(
    reads="representation",
    family="differences",
    bounds=(0.0, inf),
    identical=0.0,
    larger_is_more_similar=False,
    matches_inputs=False,
    invariances=_KEPT,
    reference=_WANG,
    cost="O(1) per pair, after O(N D) per model",
    is_without_sign=True,
    influence=_influence("magnitude", _magnitude, _influence_on_magnitude),
    streams=True,
)
def magnitude_difference(pair: Pair) -> Tensor:
    r"""The difference of the lengths of the mean representations, without its sign.

    $$\Big|\, \|\bar R\| - \|\bar S\| \,\Big|$$

    of the representations as given, in their units.

    >>> magnitude_difference([[3.0, 0.0], [3.0, 8.0]], [[1.0], [3.0]])
    3.0
    """
    return _difference(pair, "magnitude", _magnitude)


def _concentricity(side: Side) -> Tensor:
    length = torch.linalg.vector_norm(side.means)
    if float(length) == 0:
        raise UndefinedScore(
            "The mean representation is zero, so no input can point towards it. Concentricity "
            "is of representations as given; do not centre them first."
        )
    return (_directions(side) @ (side.means / length)).mean()


def _influence_on_concentricity(side: Side) -> Tensor:
    rows, length = _directions(side), torch.linalg.vector_norm(side.means)
    towards = side.means / length
    cosines = rows @ towards
    # The input's own cosine, and what it does to the mean that all others are compared with.
    turned = (rows.mean(0) - cosines.mean() * towards) / length
    return cosines - cosines.mean() + _from_mean(side) @ turned


@measure(
    reads="representation",
    family="differences",
    bounds=(0.0, 2.0),
    identical=0.0,
    larger_is_more_similar=False,
    matches_inputs=False,
    invariances=_KEPT | {Invariance.ISOTROPIC_SCALING},
    reference=_WANG,
    cost="O(1) per pair, after O(N D) per model",
    is_without_sign=True,
    influence=_influence("concentricity", _concentricity, _influence_on_concentricity),
)
def concentricity_difference(pair: Pair) -> Tensor:
    r"""The difference of the mean cosines with the mean representation, in [0, 2].

    $$\Big|\, \frac1N \sum_i \cos(R_i, \bar R) - \frac1N \sum_i \cos(S_i, \bar S) \,\Big|$$

    of the representations as given: how much wider the one spreads around its mean direction.

    >>> round(concentricity_difference([[1.0, 0.0], [0.0, 1.0]], [[1.0], [3.0]]), 4)
    0.2929
    """
    return _difference(pair, "concentricity", _concentricity)


def _nearness(side: Side) -> Tensor:
    """The sum of the exponentials from each input to all others, `(N,)`."""
    if side.n_inputs < 2:
        raise UndefinedScore("Uniformity is about two inputs or more, but there is one.")
    rows = _directions(side)
    found = torch.empty(len(rows), dtype=torch.float64, device=rows.device)
    for these in blocks(len(rows)):
        squared = (2 - 2 * rows[these] @ rows.T).clamp_min(0)
        found[these] = (-2 * squared).exp().sum(1) - 1
    return found


def _uniformity(side: Side) -> Tensor:
    n = side.n_inputs
    return (side.rows("nearness", _nearness).sum() / (n * (n - 1))).log()


def _influence_on_uniformity(side: Side) -> Tensor:
    near = side.rows("nearness", _nearness)
    return 2 * (near / near.mean() - 1)


@measure(
    reads="representation",
    family="differences",
    bounds=(0.0, 8.0),
    identical=0.0,
    larger_is_more_similar=False,
    matches_inputs=False,
    invariances=_KEPT | {Invariance.ISOTROPIC_SCALING},
    reference="Wang and Isola (2020), Understanding contrastive representation learning, "
    "arXiv:2005.10242",
    cost="O(1) per pair, after O(N² D) per model",
    is_without_sign=True,
    influence=_influence("uniformity", _uniformity, _influence_on_uniformity),
)
def uniformity_difference(pair: Pair) -> Tensor:
    r"""The difference of how evenly two models spread inputs over the sphere, in [0, 8].

    $$|u(R) - u(S)|, \qquad
    u(R) = \ln \frac{2}{N (N - 1)} \sum_{i < j} e^{-2 \|r_i - r_j\|^2}$$

    with the rows as given at length one, $r_i = R_i / \|R_i\|$. Without that the exponentials
    vanish, and every difference with them.

    >>> round(uniformity_difference([[1.0, 0.0], [0.0, 1.0]], [[1.0], [3.0]]), 4)
    4.0
    """
    return _difference(pair, "uniformity", _uniformity)
