"""Matrices with a row and a column per input: distances, their ranks, and sums over two of them.

They take N² numbers per model, in float64 up to `IN_FLOAT64` inputs and in float32 beyond, whose
rounding the sums over N² numbers average out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from samemind.errors import UndefinedScore
from samemind.lazy import np, torch
from samemind.sides.pair import Pair, Side

if TYPE_CHECKING:
    from torch import Tensor

IN_FLOAT64 = 4096
ROWS_AT_ONCE = 512
#: Squared distances below this share of the two squared norms are rounding, so zero.
NO_DISTANCE = 1e-14


def blocks(n: int) -> Iterator[slice]:
    """Slices of some hundreds of rows."""
    for start in range(0, n, ROWS_AT_ONCE):
        yield slice(start, start + ROWS_AT_ONCE)


def empty_square(n: int, device: torch.device) -> Tensor:
    """An uninitialised `(n, n)` in the precision that its size allows."""
    dtype = torch.float64 if n <= IN_FLOAT64 else torch.float32
    return torch.empty(n, n, dtype=dtype, device=device)


def distances(side: Side) -> Tensor:
    """Euclidean distances between the rows of the representation at norm one, `(N, N)`."""
    return side.square("distances", _make_distances)


def _make_distances(side: Side) -> Tensor:
    rows = side.factor.double()
    squares = torch.linalg.vecdot(rows, rows)
    found = empty_square(side.n_inputs, rows.device)
    for these in blocks(side.n_inputs):
        both = squares[these, None] + squares
        squared = both - 2 * (rows[these] @ rows.T)
        found[these] = torch.where(squared > NO_DISTANCE * both, squared, 0.0).sqrt()
    found.fill_diagonal_(0)
    return found


def median_distance(side: Side) -> Tensor:
    """The median distance between two different inputs, `()`, at norm one.

    **Raises:** `UndefinedScore` if it is zero.
    """
    return side.whole("median distance", _make_median)


def _make_median(side: Side) -> Tensor:
    if side.n_inputs < 2:
        raise UndefinedScore("Distances between inputs need two of them, but there is one.")
    n_pairs = side.n_inputs * (side.n_inputs - 1) // 2
    low, high = _of_rank(side, [(n_pairs - 1) // 2, n_pairs // 2])
    median = (low + high) / 2
    if float(median) == 0:
        raise UndefinedScore(
            "At least half of the distances between inputs are zero, so there is no scale to "
            "measure them by. Look for repeated inputs or a dead layer."
        )
    return median


def _of_rank(side: Side, places: list[int]) -> Tensor:
    """The distances between two different inputs at these places in ascending order, float64."""
    n = side.n_inputs
    above = torch.ones(n, n, dtype=torch.bool, device=side.device).triu_(1)
    values = distances(side)[above]
    if values.device.type == "cpu":
        # One partial sort for all, where torch has none.
        return torch.from_numpy(np.partition(values.numpy(), places)[places]).double()
    ascending = values.sort().values
    return torch.stack([ascending[place].double() for place in places])


def row_products(first: Tensor, second: Tensor) -> Tensor:
    """The inner product of each row of the one with the same row of the other, `(N,)`, float64."""
    found = torch.empty(len(first), dtype=torch.float64, device=first.device)
    for these in blocks(len(first)):
        found[these] = torch.linalg.vecdot(first[these].double(), second[these].double())
    return found


def row_sums(matrix: Tensor) -> Tensor:
    """The sum of each row in float64, `(N,)`."""
    return matrix.sum(1, dtype=torch.float64)


def mapped(matrix: Tensor, of: Callable[[Tensor], Tensor]) -> Tensor:
    """A new matrix of the same kind, with a function of float64 applied some rows at a time."""
    found = torch.empty_like(matrix)
    for these in blocks(len(matrix)):
        found[these] = of(matrix[these].double()).to(matrix.dtype)
    return found


def double_centred(side: Side, name: str, make: Callable[[Side], Tensor]) -> Tensor:
    """The matrix that `make` gives, with rows and columns of mean zero, `(N, N)`."""

    def centre(root: Side) -> Tensor:
        matrix = make(root)
        means = row_sums(matrix) / root.n_inputs
        found = torch.empty_like(matrix)
        for these in blocks(root.n_inputs):
            centred = matrix[these].double() - means[these, None] - means + means.mean()
            found[these] = centred.to(found.dtype)
        return found

    return side.square(f"centred {name}", centre)


def difference_rows(pair: Pair, first_scale: Tensor, second_scale: Tensor) -> Tensor:
    """The sum over j of the squared difference of both scaled distances from i to j, `(N,)`."""
    first, second = distances(pair.a), distances(pair.b)
    found = torch.empty(pair.n_inputs, dtype=torch.float64, device=first.device)
    for these in blocks(pair.n_inputs):
        left = first_scale * first[these].double() - second_scale * second[these].double()
        found[these] = left.square().sum(1)
    return found


def influence_on_median(side: Side) -> Tensor:
    """The influence of each input on `median_distance`, `(N,)`.

    That of a U-quantile: how far the share of an input's distances below the median is from a
    half, over the density of the distances there, which is taken from the twentieth of them
    around it (Serfling, 1984, doi:10.1214/aos/1176346387).
    """
    return side.rows("influence on median distance", _make_influence_on_median)


def _make_influence_on_median(side: Side) -> Tensor:
    n, median, matrix = side.n_inputs, median_distance(side), distances(side)
    share = torch.empty(n, dtype=torch.float64, device=matrix.device)
    for these in blocks(n):
        below = (matrix[these] <= median).sum(1)
        share[these] = (below - 1) / (n - 1)  # the input itself is at distance zero
    n_pairs = n * (n - 1) // 2
    low, high = _of_rank(side, [int(0.475 * n_pairs), min(int(0.525 * n_pairs), n_pairs - 1)])
    return 2 * (share.mean() - share) * (high - low) / 0.05


def sum_of_squares(side: Side) -> Tensor:
    """The sum of the squared distances over all ordered pairs of inputs, `()`."""
    matrix = distances(side)
    return row_products(matrix, matrix).sum()
