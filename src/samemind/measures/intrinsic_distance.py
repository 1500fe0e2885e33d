"""IMD: the multi-scale intrinsic distance, from the heat traces of neighbourhood graphs."""

from __future__ import annotations

from math import exp
from typing import TYPE_CHECKING

from samemind.errors import UndefinedScore
from samemind.lazy import torch
from samemind.measures.base import Invariance, Pair, Side, measure
from samemind.sides import distances as pairwise
from samemind.sides import preprocessing

if TYPE_CHECKING:
    from torch import Tensor

#: The temperatures of the authors' code: 256 from 0.1 to 10.
_EXPONENTS = (-1.0, 1.0, 256)


#: Squared distances closer than this share of the two squared norms are equal, and in float32
#: distances closer than this share of themselves.
_EQUAL_SQUARES, _EQUAL_IN_FLOAT32 = 1e-13, 2e-7


def _joined(side: Side, k: int) -> Tensor:
    """By how much each input is among the k nearest of each other one, `(N, N)`: 0 to 1.

    By Euclidean distance; those that are equally far share the last of the k places.
    """
    matrix = pairwise.distances(side)
    found = torch.zeros(side.n_inputs, side.n_inputs, dtype=torch.float64, device=side.device)
    squares = side.unit_row_squares
    for these in pairwise.blocks(side.n_inputs):
        block = matrix[these].double()
        rows = torch.arange(len(block), device=block.device)
        block[rows, rows + these.start] = torch.inf
        last = block.kthvalue(k, dim=1, keepdim=True).values
        if matrix.dtype == torch.float64:
            doubt = _EQUAL_SQUARES * (squares[these, None] + squares)
            above = block.square() - last.square()
        else:
            doubt = _EQUAL_IN_FLOAT32 * last
            above = block - last
        nearer, equal = above < -doubt, above.abs() <= doubt
        places = (k - nearer.sum(1)).double() / equal.sum(1)
        found[these] = nearer.double() + equal * places[:, None]
    return found


def _laplacian(side: Side, k: int) -> Tensor:
    """The normalised Laplacian of the graph that joins inputs with their neighbours, `(N, N)`.

    Two inputs are joined by as much as one is a neighbour of the other.
    """
    joined = _joined(side, k)
    joined = torch.maximum(joined, joined.T)
    scale = joined.sum(1).rsqrt()
    identity = torch.eye(side.n_inputs, dtype=torch.float64, device=side.device)
    return identity - scale[:, None] * joined * scale


def _heat_trace(side: Side, k: int) -> Tensor:
    """The mean of exp(-t λ) over the spectrum of the Laplacian, at each temperature, `(256,)`."""
    spectrum = preprocessing.symmetric_eigenvalues(_laplacian(side, k))
    temperatures = torch.logspace(*_EXPONENTS, dtype=torch.float64, device=side.device)
    return (-temperatures[:, None] * spectrum).exp().mean(1)


@measure(
    reads="representation",
    family="topology",
    bounds=(0.0, 1e6 * exp(-4)),
    identical=0.0,
    larger_is_more_similar=False,
    matches_inputs=False,
    invariances={
        Invariance.UNIT_PERMUTATION,
        Invariance.ORTHOGONAL,
        Invariance.ISOTROPIC_SCALING,
        Invariance.TRANSLATION,
    },
    reference="Tsitsulin et al. (2020), The shape of data: intrinsic distance, arXiv:1905.11141",
    cost="O(256) per pair, after O(N² D + N³) and 2 N² numbers per model",
    no_standard_error="edges of the graph jump, so an input has no first-order share",
)
def intrinsic_multiscale_distance(pair: Pair, *, k: int = 5) -> Tensor:
    r"""Multi-scale intrinsic distance (IMD) of two neighbourhood graphs, times 10⁶; k = 5.

    $$10^6 \max_t e^{-2 (t + 1/t)} \Big| \frac1N \operatorname{tr} e^{-t L_R}
    - \frac1N \operatorname{tr} e^{-t L_S} \Big|$$

    with the normalised Laplacians of the graphs that join each input with its k nearest, by
    Euclidean distance, over 256 temperatures from 0.1 to 10; inputs that are equally far share the
    last of the k places. The factor is that of the authors'
    code, which estimates the traces from random vectors; here they are exact, from all
    eigenvalues.

    >>> R = [[0.0], [1.0], [2.1], [3.3], [4.6], [6.0], [7.5]]
    >>> intrinsic_multiscale_distance(R, [[-3 * x] for x, in R])
    0.0
    """
    if k >= pair.n_inputs:
        raise UndefinedScore(
            f"{k} neighbours were asked for, but there are {pair.n_inputs} inputs. Choose a "
            f"smaller k, as in 'intrinsic_multiscale_distance@2', or more inputs."
        )
    if float(pair.a.norm) == 0 or float(pair.b.norm) == 0:
        return torch.tensor(torch.nan, dtype=torch.float64)
    first, second = (
        side.whole(f"heat trace@{k}", lambda s: _heat_trace(s, k)) for side in (pair.a, pair.b)
    )
    t = torch.logspace(*_EXPONENTS, dtype=torch.float64, device=first.device)
    return 1e6 * ((-2 * (t + 1 / t)).exp() * (first - second).abs()).amax()
