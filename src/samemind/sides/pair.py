"""A pair of models on the same inputs: what measures read, each part made once and kept.

A `Side` holds what depends on one model only, a `Pair` what depends on two; all pairs of a model
and all measures of a pair share what was made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from samemind.errors import InvalidInput
from samemind.lazy import torch
from samemind.sides import polar, preprocessing
from samemind.sides.groups import of_groups
from samemind.sides.held import refuse_recounted
from samemind.sides.side import Prepared, Side
from samemind.sides.streamed import StreamedSide

if TYPE_CHECKING:
    from torch import Tensor

    from samemind.sides.entering import Edges

__all__ = ["Pair", "Prepared", "Side", "StreamedSide"]


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
        for counting, other in ((a, b), (b, a)):
            if counting.only_counts:
                places = {id(a): "the first side", id(b): "the second side"}
                refuse_recounted([places[id(counting)]], {places[id(other)]: other.ids})
        if a.ids is not None and b.ids is not None and list(a.ids) != list(b.ids):
            raise InvalidInput(
                "The rows of two sides have other ids, or those in another order. samemind.compare "
                "joins them by their ids."
            )
        self.a = a
        self.b = b
        self.n_inputs = a.n_inputs
        #: Whether singular vectors will be asked for: then the values come with them.
        self.expects_vectors = False
        #: Whether what single neighbours bring is kept as `edges`, for the difference of two pairs.
        self.expects_edges = False
        self.edges: Edges | None = None

    def permuted(self, order: Tensor) -> Pair:
        """The pair with the rows of the second side in another order."""
        return Pair(self.a, self.b.permuted(order))

    def restricted(self, rows: Tensor) -> Pair:
        """The pair on some of the inputs only, as if they were all there are."""
        rows = rows.to(self.a.device)
        return Pair(self.a.restricted(rows), self.b.restricted(rows))

    def looking_at(self, rows: Tensor, others: Tensor) -> Pair:
        """Some rows of the first side beside as many of the second, for what is known by row."""
        return Pair(self.a.looking_at(rows), self.b.looking_at(others))

    @property
    def labels(self) -> Tensor:
        """The correct classes, `(N,)`, from whichever side has them."""
        return (self.a if self.a._labels is not None else self.b).labels

    @property
    def groups(self) -> Tensor | None:
        """The number of the group that each row is of, from 0 up, `(N,)`; None where each is alone.

        From whichever side has them.
        """
        side = self.a if self.a.groups is not None else self.b
        return self.once(
            "groups",
            lambda: None if side.groups is None else side.groups.unique(return_inverse=True)[1],
        )

    @property
    def n_independent(self) -> int:
        """How many rows, or groups of rows, were drawn independently of one another."""
        return self.n_inputs if self.groups is None else int(self.groups.max()) + 1

    def independent(self, influences: Tensor) -> Tensor:
        """The influences `(G, …)` of what was drawn independently, from those of rows `(N, …)`."""
        return influences if self.groups is None else of_groups(influences, self.groups)

    def reordered(self, generator: torch.Generator) -> Tensor:
        """An order `(N,)` in which rows meet those of other inputs; whole groups move, not rows."""
        order = torch.randperm(self.n_independent, generator=generator).to(self.a.device)
        return order if self.groups is None else order[self.groups].argsort(stable=True)

    @property
    def cross_covariance(self) -> Tensor:
        """`F_aᵀ F_b` of the factors of both sides, `(min(N, D1), min(N, D2))`.

        Its singular values are those of the cross-covariance of the centred representations with
        Frobenius norm one. It feeds every measure that is a function of them.
        """
        return self.once("cross_covariance", self._make_cross_covariance)

    def _make_cross_covariance(self) -> Tensor:
        if isinstance(self.b, StreamedSide) and not isinstance(self.a, StreamedSide):
            return self.b.times(self.a).T
        return self.a.times(self.b)

    @property
    def cross_norm_squared(self) -> Tensor:
        """The squared Frobenius norm of the cross-covariance, `()` in float64."""
        return self.once(
            "cross_norm_squared", lambda: preprocessing.squared_norm(self.cross_covariance)
        )

    @property
    def nuclear_norm(self) -> Tensor:
        """The sum of the singular values of the cross-covariance, `()` in float64."""
        if self.expects_vectors:
            return self._polar[1]
        return self.once("nuclear_norm", lambda: polar.nuclear_norm(self.cross_covariance))

    @property
    def polar_factor(self) -> Tensor:
        """The best rotation of F_a onto F_b, `(min(N, D1), min(N, D2))`, in float64."""
        return self._polar[0]

    @property
    def _polar(self) -> tuple[Tensor, Tensor]:
        return self.once("polar", lambda: polar.polar_factor(self.cross_covariance))

    @property
    def aligned_rows(self) -> Tensor:
        """Row i of F_a, rotated best, times row i of F_b, `(N,)`; sums to the nuclear norm.

        **Cost:** a decomposition with vectors, about three times that of the nuclear norm.
        """
        return self.once("aligned_rows", lambda: self.aligned_at(slice(None)))

    def aligned_at(self, rows: slice | Tensor) -> Tensor:
        """Some of `aligned_rows`, without making the others."""
        return self._row_products(self.polar_factor, rows)

    @property
    def cross_rows(self) -> Tensor:
        """`unit_a[i]ᵀ (unit_aᵀ unit_b) unit_b[i]` for each input, `(N,)`; sums to its norm²."""
        return self.once("cross_rows", lambda: self.cross_at(slice(None)))

    def cross_at(self, rows: slice | Tensor) -> Tensor:
        """Some of `cross_rows`, without making the others."""
        return self._row_products(self.cross_covariance, rows)

    def by_pieces(
        self, make: Callable[[slice | Tensor], Tensor], rows: slice | Tensor = slice(None)
    ) -> Tensor:
        """What `make` gives for these rows of both sides, in step where they are read in chunks."""
        streamed = [side for side in (self.a, self.b) if isinstance(side, StreamedSide)]
        # In the smaller chunks of the two, so that neither holds more rows than it was told to.
        reader = min(streamed, key=lambda side: side.rows_at_once, default=self.a)
        return reader.by_pieces(make, rows)

    def _row_products(self, between: Tensor, rows: slice | Tensor) -> Tensor:
        def make(some: slice | Tensor) -> Tensor:
            first, second = self.a.factor_rows(some), self.b.factor_rows(some)
            return preprocessing.row_products(
                preprocessing.product(second.to(first.dtype), between.to(first.dtype)), first
            )

        return self.by_pieces(make, rows)

    def check_classes(self) -> None:
        """Raises `InvalidInput` if the two models predict over different numbers of classes."""
        if self.a.has_only_decisions or self.b.has_only_decisions:
            # Class numbers name as many classes as they need: both count in the larger number.
            classes = max(self.a.n_classes, self.b.n_classes)
            for side in (self.a, self.b):
                side._root._parts["classes"] = (classes,)
        if self.a.n_classes != self.b.n_classes:
            raise InvalidInput(
                f"Predictions are compared over the same classes, but the first model has "
                f"{self.a.n_classes} and the second {self.b.n_classes}. Restrict both to the "
                f"classes that they share, in the same order."
            )
