"""A model of which only distances between inputs are known: a matrix from a brain, or from people.

What reads distances, their ranks or neighbours reads these; what reads units says why it cannot.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self, TypeVar

from samemind.errors import InvalidInput, UndefinedScore
from samemind.lazy import torch
from samemind.sides import neighbours
from samemind.sides.neighbour_sets import NeighbourSets
from samemind.sides.side import Side

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

#: The matrices of distances that measures ask for; all are the given one.
OWN = (
    "distances", "dissimilarity euclidean", "dissimilarity correlation", "dissimilarity cosine",
)  # fmt: skip
WITHIN = 1e-6

Part = TypeVar("Part")


class GivenDistances(Side):
    """Distances `(N, N)` between inputs in the place of a representation.

    **Raises:** `InvalidInput` for a matrix that is not square, finite, symmetric and zero on its
    diagonal.
    """

    def __init__(self, distances: Tensor, *, labels: Any = None, ids: Any = None) -> None:
        matrix = checked(distances)
        super().__init__(representation=matrix, labels=labels, ids=ids)
        self._representation = matrix
        varies = bool((matrix - matrix[0, 1]).fill_diagonal_(0).any())
        self._parts["norm"] = matrix.new_tensor(float(varies))

    def square(self, name: str, make: Callable[[Self], Tensor]) -> Tensor:
        """The given distances for any that are asked for; what is made of them as in `Side`."""
        if self._parent is None and name in OWN:
            assert self._representation is not None
            return self._representation
        return super().square(name, make)

    def _given_representation(self) -> Tensor:
        raise UndefinedScore(
            "It reads units, but of one of the two only the distances between inputs are known. "
            "Choose a measure of distances or neighbours, such as rsa_euclidean_spearman."
        )

    @property
    def device(self) -> torch.device:
        """Where the distances lie."""
        assert self._root._representation is not None
        return self._root._representation.device

    @property
    def precision(self) -> torch.dtype:
        """float64."""
        return torch.float64

    def restricted(self, rows: Tensor) -> GivenDistances:
        """Distances between some of the inputs only."""
        matrix = self.square("distances", lambda side: side.representation)
        labels = None if self._labels is None else self._labels[rows]
        ids = None if self.ids is None else [self.ids[int(i)] for i in rows]
        return GivenDistances(matrix[rows][:, rows], labels=labels, ids=ids)

    def in_float64(self) -> Self:
        """Itself: it is in float64."""
        return self

    def _nearest(self, counts: Sequence[int]) -> list[NeighbourSets]:
        assert self._representation is not None
        return neighbours.nearest_by_distance(self._representation, counts)


def checked(distances: Tensor) -> Tensor:
    """Distances as `(N, N)` in float64; condensed ones `(N (N - 1) / 2,)` are unfolded.

    **Raises:** `InvalidInput` for what is no matrix of distances.
    """
    matrix = distances.double()
    if matrix.ndim == 2 and matrix.shape[0] == 1 != matrix.shape[1]:
        matrix = matrix[0]
    if matrix.ndim == 1:
        matrix = _unfolded(matrix)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or len(matrix) < 3:
        raise InvalidInput(
            f"Distances are a square matrix (N, N), or its upper half (N (N - 1) / 2,), of three "
            f"inputs or more, but {tuple(distances.shape)} was found. Give them so."
        )
    if not bool(torch.isfinite(matrix).all()):
        raise InvalidInput("Distances have values that are not finite. Leave those inputs out.")
    largest = float(matrix.abs().max())
    if float(matrix.diagonal().abs().max()) > WITHIN * largest:
        raise InvalidInput(
            f"The distance of an input from itself is zero, but the diagonal goes up to "
            f"{float(matrix.diagonal().abs().max()):.4g}. Give distances, not similarities."
        )
    apart = (matrix - matrix.T).abs()
    if float(apart.max()) > WITHIN * largest:
        i, j = divmod(int(apart.argmax()), len(matrix))
        raise InvalidInput(
            f"Distances are symmetric, but that of inputs {i} and {j} is {float(matrix[i, j]):.4g} "
            f"one way and {float(matrix[j, i]):.4g} the other. Average the two."
        )
    return ((matrix + matrix.T) / 2).fill_diagonal_(0)


def are_distances(values: Tensor) -> bool:
    """Whether a representation `(N, D)` looks like a matrix of distances between the inputs."""
    if values.ndim != 2 or values.shape[0] != values.shape[1] or len(values) < 3:
        return False
    if bool(values.diagonal().any()) or not bool((values >= 0).all()):
        return False
    return bool(torch.allclose(values, values.T)) and bool(values.any())


def _unfolded(condensed: Tensor) -> Tensor:
    n = round((1 + (1 + 8 * len(condensed)) ** 0.5) / 2)
    if n * (n - 1) // 2 != len(condensed):
        return condensed
    matrix = condensed.new_zeros(n, n)
    rows, columns = torch.triu_indices(n, n, 1, device=condensed.device)
    matrix[rows, columns] = condensed
    return matrix + matrix.T
