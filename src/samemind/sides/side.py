"""One model on one input set: what measures read of it, each part made once and kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from samemind.errors import UndefinedScore
from samemind.lazy import torch
from samemind.sides import neighbours, preprocessing
from samemind.sides.neighbour_sets import NeighbourSets
from samemind.sides.prepared import Given, Prepared

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Prepared", "Side"]


class Side(Given):
    """One model on one input set: its representation `(N, D)`, its logits `(N, C)`, or both.

    **Arguments:**

    - `representation`, `logits`: whatever holds numbers, on any device; row `i` is input `i`.
      Logits `(N, 1)` are those of a binary classifier, decided at 0; class numbers `(N,)` are
      decisions. `note` says what was read so.
    - `labels`: the correct classes `(N,)`, for the measures that need them.
    - `kind`: what `logits` holds: "logits", "probabilities" or "decisions". Unless given, rows
      that all lie in [0, 1] and add to 1 are probabilities; they are not softmaxed again.
    - `groups`: `(N,)` whole numbers, the same for rows that are not independent of one another,
      such as the words of one text. Errors are then those of groups drawn, and floors move groups.
    - `ids`: what each input is called, `(N,)`: `samemind.compare` joins rows by them.
    - `precision`: `torch.float32` or `torch.float64`, for the large products. Unless given,
        float64 for float64 input and small arrays, float32 for large float32 arrays.

    **Raises:** `InvalidInput` for arrays that are not 2-D, empty, not finite, or of unequal N;
    labels that are no class numbers, or go beyond the classes.
    """

    # --- representation ---------------------------------------------------------------------

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
        """The squared norm of each row of `unit`, `(N,)` in float64; NaN if it is constant.

        They sum to one.
        """
        return self.rows(
            # 0 / 0 stays NaN: no score of a constant representation may come of it.
            "unit_row_squares",
            lambda side: (side.row_lengths / side.norm).square(),
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

    def by_pieces(
        self, make: Callable[[slice | Tensor], Tensor], rows: slice | Tensor = slice(None)
    ) -> Tensor:
        """What `make` gives for these rows, one value or row for each.

        Here all rows are asked for at once; a side that is read in chunks asks for one chunk
        after the other.
        """
        return make(rows)

    def given_rows(self, rows: slice | Tensor) -> Tensor:
        """Some rows of the representation as given."""
        return self.representation[rows]

    def unit_rows(self, rows: slice | Tensor) -> Tensor:
        """Some rows of `unit`."""
        return self.unit[rows]

    @property
    def n_factors(self) -> int:
        """The number of columns of `factor`."""
        return min(self.n_inputs, self.n_units)

    def factor_rows(self, rows: slice | Tensor) -> Tensor:
        """Some rows of `factor`."""
        return self.factor[rows]

    def gram_times(self, weights: Tensor, rows: slice | Tensor) -> Tensor:
        """Some rows of `unit unitᵀ weights`, `(rows,)` in float64, from a weight per input."""
        factor = self.factor
        return (factor[rows] @ (factor.T @ weights.to(factor.dtype))).double()

    def times(self, other: Side) -> Tensor:
        """The products of the columns of `factor` with those of the other's.

        **Returns:** `(min(N, D), min(N, D'))`, with the singular values of the cross-covariance.
        """
        first, second = self.factor_columns, other.factor_columns
        if first.dtype != second.dtype:
            first, second = first.float(), second.float()  # as exact as the coarser of the two
        return preprocessing.product(first, second)

    @property
    def covariance(self) -> Tensor:
        """`factorᵀ factor`, `(min(N, D),) * 2`; its trace is one."""
        return self.whole("covariance", lambda side: side.times(side))

    @property
    def gram_norm_squared(self) -> Tensor:
        """The squared Frobenius norm of `unit unitᵀ`, `()` in float64."""
        return self.whole("gram_norm_squared", Side._make_gram_norm_squared)

    def _make_gram_norm_squared(self) -> Tensor:
        if "gram_row_squares" in self._parts:
            return self.gram_row_squares.sum()
        return preprocessing.squared_norm(self.covariance)

    @property
    def gram_row_squares(self) -> Tensor:
        """The squared norm of each row of `unit unitᵀ`, `(N,)` in float64."""
        return self.rows(
            "gram_row_squares",
            lambda side: side.by_pieces(side._gram_row_squares_at),
        )

    def _gram_row_squares_at(self, rows: slice | Tensor) -> Tensor:
        mine = self.factor_rows(rows)
        covariance = self.covariance.to(mine.dtype)
        return preprocessing.row_products(preprocessing.product(mine, covariance), mine)

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
        for found in root._nearest(missing):
            root._parts[f"neighbours@{found.k}"] = found

    def _nearest(self, counts: Sequence[int]) -> list[NeighbourSets]:
        """The neighbour sets for these ascending k, in the order of the inputs as given."""
        rows = neighbours.Rows(self._given_representation(), self.means, self.row_lengths)
        sets, gram_squares = neighbours.nearest(rows, self.precision, counts)
        # The Gram matrix was at hand: its norm comes with it.
        self.once("gram_row_squares", lambda: gram_squares)
        return sets

    def neighbours(self, k: int) -> NeighbourSets:
        """The k nearest other inputs of each input, by cosine on centred columns."""
        self._root.prepare_neighbours([k])
        sets: NeighbourSets = self._root._parts[f"neighbours@{k}"]
        order = self._order
        return sets if order is None else self.once(f"neighbours@{k}", lambda: sets.permuted(order))

    def tied_share(self, k: int) -> float:
        """The share of inputs whose k-th neighbour is as near as the next one, 0 to 1.

        All that are equally near share the last of the k places, so such an input says less.
        """
        return self._root.neighbours(k).n_tied / self.n_inputs

    # --- logits -----------------------------------------------------------------------------

    @property
    def n_classes(self) -> int:
        """C, the number of classes; of decisions, as many as the largest class number needs."""
        root = self._root
        if root._decisions is not None:
            return max(2, int(root._decisions.max()) + 1, *root._parts.get("classes", ()))
        return root._given_logits().shape[1]

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
