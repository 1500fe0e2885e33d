"""One model on one input set, and a pair of them: what measures read, each part made once.

A `Side` holds what depends on one model only, a `Pair` what depends on two. Every part is made
at its first use and kept, so all pairs of a model and all measures of a pair share it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from samemind.errors import InvalidInput, UndefinedScore
from samemind.lazy import LazyModule
from samemind.measures import neighbours, preprocessing
from samemind.measures.neighbour_sets import NeighbourSets

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from samemind.arrays import Array
else:
    torch = LazyModule("torch")

Part = TypeVar("Part")


class Prepared:
    """Keeps the parts that were made, by name."""

    def __init__(self) -> None:
        self._parts: dict[str, Any] = {}

    def once(self, name: str, make: Callable[[], Part]) -> Part:
        """The part of this name: made at the first call, kept for the later ones."""
        if name not in self._parts:
            self._parts[name] = make()
        return self._parts[name]

    def release(self, *names: str) -> None:
        """Frees these parts; they are made again if someone asks for them."""
        for name in names:
            self._parts.pop(name, None)


class Side(Prepared):
    """One model on one input set: its representation `(N, D)`, its logits `(N, C)`, or both.

    **Arguments:**

    - `representation`, `logits`: arrays or tensors, on any device; row `i` is input `i`.
    - `labels`: the correct classes `(N,)`, for the measures that need them.
    - `precision`: `torch.float32` or `torch.float64`, for the large products. Unless given,
        float64 for float64 input and small arrays, float32 for large float32 arrays.

    **Raises:** `InvalidInput` for arrays that are not 2-D, empty, not finite, or of unequal N.
    """

    def __init__(
        self,
        *,
        representation: Array | None = None,
        logits: Array | None = None,
        labels: Array | None = None,
        precision: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self._representation = (
            None
            if representation is None
            else preprocessing.as_matrix(representation, "representation")
        )
        self._logits = None if logits is None else preprocessing.as_matrix(logits, "logits")
        self._labels = None if labels is None else torch.as_tensor(labels).detach()
        self._precision = precision
        self._parent: Side | None = None
        self._order: Tensor | None = None
        counts = {
            what: len(values)
            for what, values in (
                ("representation", self._representation),
                ("logits", self._logits),
                ("labels", self._labels),
            )
            if values is not None
        }
        if not counts:
            raise InvalidInput("A side was given neither a representation nor logits. Give one.")
        if len(set(counts.values())) > 1:
            raise InvalidInput(
                f"The arrays of one model differ in their number of inputs ({counts}). "
                f"Take all of them from one pass over one input set."
            )
        self.n_inputs: int = next(iter(counts.values()))

    def permuted(self, order: Tensor) -> Side:
        """This side with its rows in another order, sharing all that was prepared."""
        twin = Side.__new__(Side)
        Prepared.__init__(twin)
        twin._representation = twin._logits = None
        twin._labels = self._labels  # a label belongs to the input, not to the model's answer
        twin._precision = self._precision
        twin._parent, twin._order = self, order
        twin.n_inputs = self.n_inputs
        return twin

    def in_float64(self) -> Side:
        """The same model and inputs with every product in float64: slower, for verification."""
        root = self._root
        exact = Side(
            representation=root._representation,
            logits=root._logits,
            labels=self._labels,
            precision=torch.float64,
        )
        return exact if self._order is None else exact.permuted(self._order)

    @property
    def device(self) -> torch.device:
        """Where the arrays lie."""
        arrays = (self._root._representation, self._root._logits)
        return next(array.device for array in arrays if array is not None)

    @property
    def has_representation(self) -> bool:
        return self._root._representation is not None

    @property
    def has_logits(self) -> bool:
        return self._root._logits is not None

    @property
    def has_labels(self) -> bool:
        return self._labels is not None

    @property
    def _root(self) -> Side:
        return self if self._parent is None else self._parent._root

    def rows(self, name: str, make: Callable[[Side], Tensor]) -> Tensor:
        """A part with one row per input, made once; a permuted side reorders its parent's rows.

        `make` gets the side. A measure that needs a part of its own adds it so.
        """
        parent, order = self._parent, self._order
        if parent is None or order is None:
            return self.once(name, lambda: make(self))
        return self.once(name, lambda: parent.rows(name, make)[order])

    def whole(self, name: str, make: Callable[[Side], Part]) -> Part:
        """A part that does not depend on the order of the inputs, made once."""
        return self._root.once(name, lambda: make(self._root))

    # --- representation ---------------------------------------------------------------------

    @property
    def representation(self) -> Tensor:
        """The representation as given, `(N, D)`."""
        return self.rows("representation", Side._given_representation)

    def _given_representation(self) -> Tensor:
        if self._representation is None:
            raise InvalidInput(
                "A measure on representations was asked for, but only logits were given. "
                "Give the representation too, or choose a measure that reads logits."
            )
        return self._representation

    @property
    def n_units(self) -> int:
        """D, the width of the representation."""
        return self._root._given_representation().shape[1]

    @property
    def precision(self) -> torch.dtype:
        """The precision of the large products on this representation."""
        if self._precision is not None:
            return self._precision
        given = self._root._given_representation()
        return preprocessing.working_precision(given.numel(), given.dtype)

    @property
    def means(self) -> Tensor:
        """The mean of each unit over the inputs, `(D,)` in float64."""
        return self.whole(
            "means", lambda side: preprocessing.column_means(side._given_representation())
        )

    @property
    def row_lengths(self) -> Tensor:
        """The norm of each centred row, `(N,)` in float64; zeros if all are the same."""
        return self.rows(
            "row_lengths",
            lambda side: preprocessing.row_lengths(side._given_representation(), side.means),
        )

    @property
    def norm(self) -> Tensor:
        """The Frobenius norm of the centred representation, `()` in float64; 0 if constant."""
        return self.whole("norm", lambda side: torch.linalg.vector_norm(side.row_lengths))

    @property
    def unit(self) -> Tensor:
        """The representation with centred columns and Frobenius norm one, `(N, D)`."""
        return self.rows(
            "unit",
            lambda side: preprocessing.centred_and_scaled(
                side._given_representation(), side.means, side.norm, side.precision
            ),
        )

    @property
    def unit_row_squares(self) -> Tensor:
        """The squared norm of each row of `unit`, `(N,)` in float64; they sum to one."""
        return self.rows(
            "unit_row_squares", lambda side: (side.row_lengths / side.norm).nan_to_num().square()
        )

    @property
    def centred(self) -> Tensor:
        """The representation with centred columns, at its own scale, `(N, D)`."""
        return self.unit * self.norm.to(self.precision)

    @property
    def factor(self) -> Tensor:
        """A matrix F with `F Fᵀ = unit unitᵀ` and at most N columns, `(N, min(N, D))`.

        Whatever depends on the inner products of the rows only, such as the singular values of a
        cross-covariance, is the same for F; where N < D it is the smaller one.
        """
        return self.rows("factor", Side._make_factor)

    def _make_factor(self) -> Tensor:
        if self.n_units <= self.n_inputs:
            return self.unit
        return torch.linalg.qr(self.unit.T, mode="r").R.T.contiguous()

    @property
    def factor_columns(self) -> Tensor:
        """`factor` transposed and contiguous, `(min(N, D), N)`, as products like it best."""
        return self.rows_last("factor_columns", lambda side: side.factor.T.contiguous())

    def rows_last(self, name: str, make: Callable[[Side], Tensor]) -> Tensor:
        """As `rows`, for a part whose last axis is the inputs."""
        parent, order = self._parent, self._order
        if parent is None or order is None:
            return self.once(name, lambda: make(self))
        return self.once(name, lambda: parent.rows_last(name, make)[..., order])

    def square(self, name: str, make: Callable[[Side], Tensor]) -> Tensor:
        """As `rows`, for a part with a row and a column per input."""
        parent, order = self._parent, self._order
        if parent is None or order is None:
            return self.once(name, lambda: make(self))
        return self.once(name, lambda: parent.square(name, make)[order][:, order])

    @property
    def covariance(self) -> Tensor:
        """`factorᵀ factor`, `(min(N, D),) * 2`; its trace is one."""
        return self.whole(
            "covariance",
            lambda side: preprocessing.product(side.factor_columns, side.factor_columns),
        )

    @property
    def gram_norm_squared(self) -> Tensor:
        """The squared Frobenius norm of `unit unitᵀ`, `()` in float64."""
        return self.whole("gram_norm_squared", Side._make_gram_norm_squared)

    def _make_gram_norm_squared(self) -> Tensor:
        if "gram_row_squares" in self._parts:
            return self.gram_row_squares.sum()
        return squared_norm(self.covariance)

    @property
    def gram_row_squares(self) -> Tensor:
        """The squared norm of each row of `unit unitᵀ`, `(N,)` in float64."""
        return self.rows(
            "gram_row_squares",
            lambda side: _row_sums(
                preprocessing.product(side.factor, side.covariance), side.factor
            ),
        )

    def prepare_neighbours(self, counts: Sequence[int]) -> None:
        """Finds the nearest neighbours for each of these k in one go."""
        root = self._root
        missing = [k for k in sorted(set(counts)) if f"neighbours@{k}" not in root._parts]
        if not missing:
            return
        if missing[-1] >= self.n_inputs:
            raise UndefinedScore(
                f"{missing[-1]} neighbours were asked for, but there are {self.n_inputs} inputs, "
                f"so each has {self.n_inputs - 1} others. Choose a smaller k, or more inputs."
            )
        rows = neighbours.Rows(root._given_representation(), root.means, root.row_lengths)
        sets, gram_squares = neighbours.nearest(rows, self.precision, missing)
        for found in sets:
            root._parts[f"neighbours@{found.k}"] = found
        # The Gram matrix was at hand: its norm comes with it.
        root.once("gram_row_squares", lambda: gram_squares / root.norm**4)

    def neighbours(self, k: int) -> NeighbourSets:
        """The k nearest other inputs of each input, by cosine on centred columns."""
        self._root.prepare_neighbours([k])
        sets: NeighbourSets = self._root._parts[f"neighbours@{k}"]
        order = self._order
        return sets if order is None else self.once(f"neighbours@{k}", lambda: sets.permuted(order))

    # --- logits -----------------------------------------------------------------------------

    @property
    def logits(self) -> Tensor:
        """The logits as given, `(N, C)`."""
        return self.rows("logits", Side._given_logits)

    def _given_logits(self) -> Tensor:
        if self._logits is None:
            raise InvalidInput(
                "A measure on predictions was asked for, but only representations were given. "
                "Give the logits too, or choose a measure that reads the representation."
            )
        return self._logits

    @property
    def n_classes(self) -> int:
        """C, the number of classes."""
        return self._root._given_logits().shape[1]

    @property
    def log_probabilities(self) -> Tensor:
        """The natural logarithm of the softmax, `(N, C)`; −∞ where a logit is −∞."""
        return self.rows("log_probabilities", Side._make_log_probabilities)

    def _make_log_probabilities(self) -> Tensor:
        given = self._given_logits()
        precision = self._precision or preprocessing.working_precision(given.numel(), given.dtype)
        if given.dtype == precision:
            return torch.log_softmax(given, dim=1)
        # Shifting in float64 first keeps the digits of logits with a large common offset.
        return torch.log_softmax(given.double(), dim=1).to(precision)

    @property
    def probabilities(self) -> Tensor:
        """The softmax of the logits, `(N, C)`."""
        return self.rows("probabilities", lambda side: side.log_probabilities.exp())

    @property
    def has_impossible_classes(self) -> bool:
        """Whether some logit is −∞, so that a class has probability zero exactly."""
        return self.whole(
            "has_impossible_classes",
            lambda side: bool(torch.isneginf(side._given_logits()).any()),
        )

    @property
    def entropies(self) -> Tensor:
        """The entropy of each prediction in nats, `(N,)` in float64."""
        return self.rows(
            "entropies",
            lambda side: preprocessing.entropies(side.probabilities, side.probabilities),
        )

    @property
    def predictions(self) -> Tensor:
        """The class with the largest logit, `(N,)`; of equal ones, the first."""
        return self.rows("predictions", lambda side: side.logits.argmax(1))

    @property
    def labels(self) -> Tensor:
        """The correct classes, `(N,)`."""
        if self._labels is None:
            raise InvalidInput("This measure needs the correct classes. Give `labels` as well.")
        return self._labels.to(self.device)


class Pair(Prepared):
    """Two models on the same inputs in the same order.

    **Raises:** `InvalidInput` if their numbers of inputs differ.
    """

    def __init__(self, a: Side, b: Side) -> None:
        super().__init__()
        if a.n_inputs != b.n_inputs:
            raise InvalidInput(
                f"Two models are compared on the same inputs in the same order, but the first "
                f"has {a.n_inputs} rows and the second {b.n_inputs}. Extract both from one input "
                f"set."
            )
        self.a = a
        self.b = b
        self.n_inputs = a.n_inputs

    def permuted(self, order: Tensor) -> Pair:
        """The pair with the rows of the second side in another order."""
        return Pair(self.a, self.b.permuted(order))

    @property
    def labels(self) -> Tensor:
        """The correct classes, `(N,)`, from whichever side has them."""
        return (self.a if self.a._labels is not None else self.b).labels

    @property
    def cross_covariance(self) -> Tensor:
        """`F_aᵀ F_b` of the factors of both sides, `(min(N, D1), min(N, D2))`.

        Its singular values are those of the cross-covariance of the centred representations with
        Frobenius norm one. It feeds every measure that is a function of them.
        """
        return self.once("cross_covariance", self._make_cross_covariance)

    def _make_cross_covariance(self) -> Tensor:
        first, second = self.a.factor_columns, self.b.factor_columns
        if first.dtype != second.dtype:
            first, second = first.float(), second.float()  # as exact as the coarser of the two
        return preprocessing.product(first, second)

    @property
    def cross_norm_squared(self) -> Tensor:
        """The squared Frobenius norm of the cross-covariance, `()` in float64."""
        return self.once("cross_norm_squared", lambda: squared_norm(self.cross_covariance))

    @property
    def cross_singular_values(self) -> Tensor:
        """The singular values of the cross-covariance, ascending, in float64."""
        return self.once(
            "cross_singular_values", lambda: preprocessing.singular_values(self.cross_covariance)
        )

    @property
    def nuclear_norm(self) -> Tensor:
        """The sum of the singular values of the cross-covariance, `()` in float64."""
        return self.once("nuclear_norm", lambda: self.cross_singular_values.sum())

    @property
    def polar_factor(self) -> Tensor:
        """The best rotation of F_a onto F_b, `(min(N, D1), min(N, D2))`, in float64."""
        return self.once("polar_factor", lambda: preprocessing.polar_factor(self.cross_covariance))

    @property
    def aligned_rows(self) -> Tensor:
        """Row i of F_a, rotated best, times row i of F_b, `(N,)`; sums to the nuclear norm.

        **Cost:** a decomposition with vectors, about three times that of the nuclear norm.
        """
        return self.once("aligned_rows", self._make_aligned_rows)

    def _make_aligned_rows(self) -> Tensor:
        first, second = self.a.factor, self.b.factor
        rotation = self.polar_factor.to(first.dtype)
        return _row_sums(preprocessing.product(second.to(first.dtype), rotation), first)

    @property
    def cross_rows(self) -> Tensor:
        """`unit_a[i]ᵀ (unit_aᵀ unit_b) unit_b[i]` for each input, `(N,)`; sums to its norm²."""
        return self.once("cross_rows", self._make_cross_rows)

    def _make_cross_rows(self) -> Tensor:
        first, second = self.a.factor, self.b.factor
        cross = self.cross_covariance.to(first.dtype)
        return _row_sums(preprocessing.product(second.to(first.dtype), cross), first)

    def check_classes(self) -> None:
        """Raises `InvalidInput` if the two models predict over different numbers of classes."""
        if self.a.n_classes != self.b.n_classes:
            raise InvalidInput(
                f"Predictions are compared over the same classes, but the first model has "
                f"{self.a.n_classes} and the second {self.b.n_classes}. Restrict both to the "
                f"classes that they share, in the same order."
            )


def squared_norm(matrix: Tensor) -> Tensor:
    """The sum of the squared entries, `()`: rows in the matrix's precision, total in float64."""
    return torch.linalg.vecdot(matrix, matrix).sum(dtype=torch.float64)


def _row_sums(first: Tensor, second: Tensor) -> Tensor:
    return torch.linalg.vecdot(first, second).double()
