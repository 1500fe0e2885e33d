"""Parts of a representation: what lies between the classes of the inputs, and within them.

Over the inputs both are orthogonal: a cross-covariance is the sum of that of the class means and
that of the residuals from them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from samemind.errors import InvalidInput, UndefinedScore
from samemind.lazy import torch
from samemind.sides.pair import Pair, Side, StreamedSide

if TYPE_CHECKING:
    from torch import Tensor

ROWS_AT_ONCE = 4096
#: Less than this share of a representation is rounding of its class means.
ROUNDING = 1e-12
#: Up to so many numbers, the covariance of every class is held to know how a score is shuffled.
MOST_MOMENTS = 2**26


@dataclass(frozen=True, eq=False)
class Classes:
    """The classes of the inputs.

    - `codes`: which class each input is of, `(N,)`, from 0 to C - 1 without gaps.
    - `counts`: inputs of each class, `(C,)` in float64.
    - `names`: the labels that were given, `(C,)`, ascending.
    """

    codes: Tensor
    counts: Tensor
    names: Tensor

    def __len__(self) -> int:
        return len(self.counts)

    def sums(self, values: Tensor, rows: slice | Tensor = slice(None)) -> Tensor:
        """Sums of values or rows `(rows, …)` by class, `(C, …)` in float64."""
        found = torch.zeros(len(self), *values.shape[1:], dtype=torch.float64, device=values.device)
        return found.index_add_(0, self.codes[rows], values.double())

    def check(self, *, fewest_inputs: int = 1, fewest_classes: int = 1) -> None:
        """Raises `UndefinedScore` where there are too few classes, or inputs in one of them."""
        if len(self) < fewest_classes:
            raise UndefinedScore(
                f"The inputs are of {len(self)} classes, but what lies between classes needs "
                f"{fewest_classes} or more. Give inputs of more classes."
            )
        least = int(self.counts.argmin())
        if self.counts[least] < fewest_inputs:
            raise UndefinedScore(
                f"Class {self.names[least].item()} has {int(self.counts[least])} inputs, but what "
                f"lies within classes needs {fewest_inputs} or more of each. Give more inputs, or "
                f"leave that class out."
            )

    def order(self, generator: torch.Generator) -> Tensor:
        """A random order of the inputs in which each stays in its class, `(N,)`."""
        order = torch.empty(len(self.codes), dtype=torch.long)
        codes = self.codes.cpu()
        for one in range(len(self)):
            places = torch.nonzero(codes == one).flatten()
            order[places] = places[torch.randperm(len(places), generator=generator)]
        return order.to(self.codes.device)


def classes_of(pair: Pair) -> Classes:
    """The classes of the inputs of a pair, from its labels.

    **Raises:** `InvalidInput` where there are no labels, or not one for each input.
    """
    return pair.once("classes", lambda: _make_classes(pair))


def _make_classes(pair: Pair) -> Classes:
    labels = pair.labels.to(pair.a.device)
    if labels.shape != (pair.n_inputs,):
        raise InvalidInput(
            f"Labels are one class per input, of shape ({pair.n_inputs},), but their shape is "
            f"{tuple(labels.shape)}. Take the arg-max of one-hot labels."
        )
    names, codes, counts = torch.unique(labels, return_inverse=True, return_counts=True)
    return Classes(codes, counts.double(), names)


def within_classes(pair: Pair) -> Pair:
    """The residuals of both representations from the means of their classes, as a pair.

    **Cost:** O(N D) once per model.

    **Raises:** `UndefinedScore` where a representation is the same for all inputs of each class.
    """
    found = pair.once("within classes", lambda: _make_within(pair))
    found.expects_vectors = pair.expects_vectors
    return found


def _make_within(pair: Pair) -> Pair:
    classes = classes_of(pair)
    found = Pair(*(_of_side(side, "within", classes) for side in (pair.a, pair.b)))
    for place, side in (("first", found.a), ("second", found.b)):
        if float(side.norm) == 0.0:
            raise UndefinedScore(
                f"The {place} representation is the same for all inputs of a class, so nothing "
                f"of it lies within classes. Look for a dead or collapsed layer."
            )
    return found


def between_classes(pair: Pair) -> Pair:
    """The mean of each class in both representations, as a pair of C rows, each class once.

    **Cost:** O(N D) once per model.
    """
    return pair.once("between classes", lambda: _make_between(pair))


def _make_between(pair: Pair) -> Pair:
    classes = classes_of(pair)
    return Pair(*(_of_side(side, "between", classes) for side in (pair.a, pair.b)))


def shuffled_within(pair: Pair, generator: torch.Generator) -> Pair:
    """The pair with the inputs of the second side in another order inside each class."""
    order = classes_of(pair).order(generator)
    return _with_part(pair, "within classes", within_classes(pair).permuted(order))


def shuffled_between(pair: Pair, generator: torch.Generator) -> Pair:
    """The pair with the classes of the second side in another order."""
    means = between_classes(pair)
    order = torch.randperm(means.n_inputs, generator=generator).to(means.a.device)
    return _with_part(pair, "between classes", means.permuted(order))


def _with_part(pair: Pair, name: str, part: Pair) -> Pair:
    twin = Pair(pair.a, pair.b)
    twin.once("classes", lambda: classes_of(pair))
    twin.once(name, lambda: part)
    return twin


def _of_side(side: Side, part: str, classes: Classes) -> Side:
    """A part of one side, made once for these classes."""
    held = side.once(f"{part} classes", lambda: (classes.codes, _MAKE[part](side, classes)))
    if held[0] is not classes.codes and not torch.equal(held[0], classes.codes):
        side.release(f"{part} classes")
        return _of_side(side, part, classes)
    return held[1]


def _pieces(side: Side) -> Iterator[slice]:
    step = side.rows_at_once if isinstance(side, StreamedSide) else ROWS_AT_ONCE
    for start in range(0, side.n_inputs, step):
        yield slice(start, min(start + step, side.n_inputs))


def class_means(side: Side, classes: Classes) -> Tensor:
    """The mean of each class less that of all inputs, `(C, D)` in float64."""
    total = sum(
        (classes.sums(side.given_rows(rows).double() - side.means, rows) for rows in _pieces(side)),
        start=torch.zeros((), dtype=torch.float64, device=side.device),
    )
    return total / classes.counts[:, None]


def _means_as_side(side: Side, classes: Classes) -> Side:
    means = class_means(side, classes)
    lengths = side.norm / side.n_inputs**0.5
    is_rounding = torch.linalg.vector_norm(means - means.mean(0)) <= ROUNDING * lengths
    return Side(representation=torch.zeros_like(means) if is_rounding else means)


def _residuals_as_side(side: Side, classes: Classes) -> Side:
    source = _Residuals(side, classes)
    if isinstance(side, StreamedSide):
        return StreamedSide(
            source,
            precision=side.precision,
            rows_at_once=side.rows_at_once,
            device=str(side.device),
        )
    found = torch.cat([source[rows] for rows in _pieces(side)])
    largest = ROUNDING * side.given_rows(slice(None)).abs().max()
    if found.abs().max() <= largest:
        found = torch.zeros_like(found)
    return Side(representation=found, precision=side.precision)


class _Residuals:
    """The rows of a side less the means of their classes, for whoever slices them."""

    def __init__(self, side: Side, classes: Classes) -> None:
        self.side, self.classes = side, classes
        self.means = class_means(side, classes) + side.means
        self.shape = side.n_inputs, side.n_units

    def exact(self, rows: slice | Tensor) -> Tensor:
        """These rows in float64."""
        return self.side.given_rows(rows).double() - self.means[self.classes.codes[rows]]

    def __getitem__(self, rows: slice, /) -> Tensor:
        return self.exact(rows).to(self.side.precision)


def weighted_sums(side: Side, weights: Tensor, classes: Classes) -> Tensor:
    """Sums by class of the rows of the factor of a side times a weight each, in float64."""
    return sum(
        (
            classes.sums(side.factor_rows(rows).double() * weights[rows, None], rows)
            for rows in _pieces(side)
        ),
        start=torch.zeros((), dtype=torch.float64, device=side.device),
    )


def moves_of_means(side: Side, slopes: Tensor, classes: Classes) -> Tensor:
    """How each input moves a function of the class means with these slopes `(C, D)`, `(N,)`.

    An input moves the mean of its class by its distance from it over the share of its class.
    """
    residuals = _Residuals(side, classes)
    weights = side.n_inputs / classes.counts

    def make(rows: slice | Tensor) -> Tensor:
        codes = classes.codes[rows]
        return (residuals.exact(rows) * slopes[codes]).sum(1) * weights[codes]

    return side.by_pieces(make)


_MAKE: dict[str, Any] = {"within": _residuals_as_side, "between": _means_as_side}


def block_squares(side: Side, classes: Classes) -> Tensor | None:
    """Sums of the squared entries of `unit unitᵀ` by the classes of row and column, `(C, C)`.

    None where the covariances of all classes are too many numbers to hold.
    """
    size = side.n_factors
    if len(classes) * size**2 > MOST_MOMENTS:
        return None

    def make() -> Tensor:
        shape = len(classes), size, size
        moments = torch.zeros(shape, dtype=torch.float64, device=side.device)
        for rows in _pieces(side):
            mine, codes = side.factor_rows(rows).double(), classes.codes[rows]
            for one in codes.unique().cpu().tolist():
                some = mine[codes == one]
                moments[one] += some.T @ some
        flat = moments.flatten(1)
        return flat @ flat.T

    return side.once("block squares", make)
