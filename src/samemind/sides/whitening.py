"""Principal directions of a side and canonical correlations of a pair, from covariances alone.

Whitening divides by small variances, so everything here is in float64, whatever the precision of
the other products.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from samemind.errors import UndefinedScore
from samemind.lazy import torch
from samemind.sides import preprocessing
from samemind.sides.pair import Pair, Side, StreamedSide

if TYPE_CHECKING:
    from torch import Tensor

#: A direction with less than this share of the largest variance is rounding: forming the
#: covariance costs half the digits, and six should be left after dividing by its root.
NO_VARIANCE = 1e-10


@dataclass(frozen=True)
class Directions:
    """The principal directions of `side.factor`, largest variance first.

    `variances` `(r,)` sum to at most one; the columns of `vectors` `(min(N, D), r)` are
    orthonormal.
    """

    variances: Tensor
    vectors: Tensor

    def first(self, count: int) -> Directions:
        """The `count` directions of the largest variance."""
        return Directions(self.variances[:count], self.vectors[:, :count])

    @property
    def whitener(self) -> Tensor:
        """What makes `factor @ whitener` an orthonormal basis, `(min(N, D), r)`."""
        return self.vectors / self.variances.sqrt()


def directions(side: Side) -> Directions:
    """The directions in which this side varies; dead and repeated units add none."""
    return side.whole("directions", _make_directions)


def _make_directions(side: Side) -> Directions:
    if float(side.norm) == 0:
        raise UndefinedScore(
            "A representation is constant over the inputs, so it varies in no direction. "
            "Look for a dead layer, or inputs that are all the same."
        )
    variances, vectors = preprocessing.symmetric_eigenvectors(_covariance(side).clone())
    variances, vectors = variances.flip(0), vectors.flip(1)
    rank = int((variances > NO_VARIANCE * variances[0]).sum())
    return Directions(variances[:rank].contiguous(), vectors[:, :rank].contiguous())


def _covariance(side: Side) -> Tensor:
    if side.precision == torch.float64:
        return side.covariance
    if isinstance(side, StreamedSide):
        exact = side.in_float64()
        return exact.times(exact)
    columns = side.factor_columns.double()
    return columns @ columns.T


#: An input with more leverage than this, and twice the mean, is fitted by itself alone.
MOST_LEVERAGE = 0.5


def why_leverage_is_too_high(*sides: Side, ridge: float = 0.0) -> str | None:
    """Why influences say too little of a regression on these sides; None where they do.

    An input's leverage is the share of its own value in what the regression predicts for it
    (Hoaglin and Welsch, 1978, doi:10.1080/00031305.1978.10479237). Near 1 the fit follows that
    input wherever it is, and without it would be another.

    **Cost:** O(N D²), once per side and ridge.
    """
    for side in sides:
        largest, mean = _leverages(side, ridge)
        if largest > MOST_LEVERAGE and largest > 2 * mean:
            return (
                f"the regression follows one input to {largest:.0%} (its leverage), so that "
                "without it the score would be another"
            )
        if len(directions(side).variances) >= side.n_inputs - 1 and mean > 0.5:
            return (
                f"the representation varies in as many directions as {side.n_inputs} inputs can, "
                "and the regression follows each of them"
            )
    return None


def _leverages(side: Side, ridge: float) -> tuple[float, float]:
    """The largest leverage of an input, and their mean."""

    def make(root: Side) -> tuple[float, float]:
        found = directions(root)
        basis = found.vectors / (found.variances + ridge).sqrt()
        leverages = root.by_pieces(
            lambda some: (root.factor_rows(some).double() @ basis).square().sum(1)
        )
        return float(leverages.max()), float(leverages.mean())

    return side.whole(f"leverages@{ridge}", make)


def cross_covariance(pair: Pair) -> Tensor:
    """The cross-covariance of the factors of both sides in float64."""
    # Asked of the sides: sums over chunks are in float64 whatever their products were in.
    if all(side.precision == torch.float64 for side in (pair.a, pair.b)):
        return pair.cross_covariance
    return pair.once("cross_covariance64", lambda: _exact_cross_covariance(pair))


def _exact_cross_covariance(pair: Pair) -> Tensor:
    if isinstance(pair.a, StreamedSide) or isinstance(pair.b, StreamedSide):
        # A side in memory keeps its factor: another decomposition could turn it differently.
        sides = (
            side.in_float64() if isinstance(side, StreamedSide) else side
            for side in (pair.a, pair.b)
        )
        return Pair(*sides).cross_covariance
    return pair.a.factor_columns.double() @ pair.b.factor_columns.double().T


def rotated_cross_covariance(pair: Pair) -> Tensor:
    """The cross-covariance in the principal directions of both sides, `(r1, r2)`."""
    return pair.once(
        "rotated_cross_covariance",
        lambda: directions(pair.a).vectors.T @ cross_covariance(pair) @ directions(pair.b).vectors,
    )


def whitened_cross_covariance(pair: Pair) -> Tensor:
    """The inner products of orthonormal bases of both column spaces, `(r1, r2)`."""
    first, second = directions(pair.a).variances, directions(pair.b).variances
    return rotated_cross_covariance(pair) / (first[:, None] * second).sqrt()


def check_inputs_suffice(n_inputs: int, *ranks: int) -> None:
    """Raises `UndefinedScore` if a side fills all N - 1 dimensions that centred inputs have."""
    if max(ranks) >= n_inputs - 1:
        raise UndefinedScore(
            f"A representation that varies in {max(ranks)} directions fits anything on "
            f"{n_inputs} inputs, so every correlation is 1. Give more than {max(ranks) + 1} "
            f"inputs, or use a measure without whitening, such as debiased_linear_cka."
        )


def canonical_correlations(pair: Pair) -> Tensor:
    """The canonical correlations, ascending, `(min(r1, r2),)` in [0, 1].

    **Raises:** `UndefinedScore` if the inputs are too few to determine them.
    """
    return pair.once("canonical_correlations", lambda: _make_correlations(pair))


def _make_correlations(pair: Pair) -> Tensor:
    ranks = (len(directions(side).variances) for side in (pair.a, pair.b))
    check_inputs_suffice(pair.n_inputs, *ranks)
    return torch.linalg.svdvals(whitened_cross_covariance(pair)).flip(0).clamp(0, 1)


def ranks(pair: Pair) -> tuple[int, int]:
    """In how many directions each side varies."""
    return len(directions(pair.a).variances), len(directions(pair.b).variances)


def influence_on_correlations(pair: Pair, slopes: Tensor, rows: slice | Tensor) -> Tensor:
    """The influence of these inputs on a function of the canonical correlations, `(rows,)`.

    `slopes` `(min(r1, r2),)` are its derivatives with respect to the correlations, descending.
    Each correlation moves by the product of its two canonical variables less half of their
    squares (Radhakrishnan and Kshirsagar, 1981, doi:10.1080/03610928108828057).
    """
    left, correlations, right = pair.once(
        "canonical vectors",
        lambda: torch.linalg.svd(whitened_cross_covariance(pair), full_matrices=False),
    )
    variables = [
        directions(side).whitener @ vectors for side, vectors in ((pair.a, left), (pair.b, right.T))
    ]

    def make(some: slice | Tensor) -> Tensor:
        first, second = (
            side.factor_rows(some).double() @ of_side
            for side, of_side in zip((pair.a, pair.b), variables, strict=True)
        )
        squares = first.square() + second.square()
        return pair.n_inputs * (first * second - correlations.clamp(0, 1) / 2 * squares) @ slopes

    return pair.by_pieces(make, rows)


#: Neighbouring values closer than this many of their standard errors may be in another order in
#: the next draw, and their directions turned into each other.
APART = 6.0


def correlations_are_apart(correlations: Tensor, n_inputs: int, *, of_all: bool) -> bool:
    """Whether canonical correlations, descending, differ by more than chance, in Fisher's z.

    `of_all` is False where a side has directions without any correlation besides.
    """
    from_zero = [] if of_all else [correlations.new_zeros(1)]
    z = torch.cat([correlations.clamp(0, 1 - 1e-12), *from_zero]).atanh()
    return bool(((z[:-1] - z[1:]) * (n_inputs**0.5) > APART).all())


def subspace_is_settled(side: Side, kept: int, share: float) -> bool:
    """Whether the next draw would keep as many principal directions, and hardly other ones.

    A variance is known to within its √(2/N), and so is what is left out.
    """
    variances, n = directions(side).variances, side.n_inputs
    if kept < len(variances):
        gap = variances[kept - 1] - variances[kept]
        if not bool(gap > APART * variances[kept - 1] * (2 / n) ** 0.5):
            return False
    left_out = variances.flip(0).cumsum(0).flip(0)
    unsure = APART / 2 * (2 / n * variances.square().flip(0).cumsum(0).flip(0)).sqrt()
    counts = [int((left_out + sign * unsure > 1 - share).sum()) for sign in (-1, 1)]
    return counts[0] == counts[1]
