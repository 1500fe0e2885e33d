"""Representations larger than memory: exact moments, accumulated over chunks of rows.

A `StreamedSide` stands for a `Side` in every measure that is a function of moments: the linear
CKAs, Procrustes, the CCA family. It reads its source once for the means, once for the lengths of
the rows, and once for each covariance asked for. The contribution of an input, and so the standard
error, follows from those and its own rows, for which the source is read again. Nothing is
approximated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from samemind.errors import InvalidInput
from samemind.lazy import torch
from samemind.sides import preprocessing
from samemind.sides.side import Side

if TYPE_CHECKING:
    from torch import Tensor

    from samemind.arrays import Array


class Source(Protocol):
    """Anything with a shape `(N, D)` whose rows can be sliced: a memory map, HDF5, Zarr."""

    @property
    def shape(self) -> tuple[int, ...]:
        """`(N, D)`."""
        ...

    def __getitem__(self, rows: slice, /) -> Any: ...


class StreamedSide(Side):
    """One model on one input set, read in chunks; for the measures that need only moments.

    **Arguments:**

    - `source`: the representation `(N, D)`, sliced a chunk of rows at a time.
    - `rows_at_once`: rows in a chunk. Memory: a few chunks, and D x D' per pair.
    - `device`: where the products run.

    A measure that needs all rows at once (neighbours, distances) says so, and so does a floor
    that has to shuffle them.
    """

    def __init__(
        self,
        source: Source,
        *,
        logits: Array | None = None,
        labels: Array | None = None,
        precision: torch.dtype | None = None,
        rows_at_once: int = 4096,
        device: str = "cpu",
        kind: str | None = None,
        groups: Array | None = None,
    ) -> None:
        if rows_at_once < 1:
            raise InvalidInput(f"Chunks of {rows_at_once} rows were asked for. Give 1 or more.")
        chunks = _Chunks(source, device)
        # The parts that do not read the representation are those of any other side.
        stand_in = torch.zeros(len(chunks), 1)
        super().__init__(
            representation=stand_in,
            logits=logits,
            labels=labels,
            precision=precision,
            kind=kind,
            groups=groups,
        )
        self._chunks = chunks
        self.rows_at_once = rows_at_once

    def _given_representation(self) -> Tensor:
        return self._chunks  # pyright: ignore[reportReturnType] # it slices and measures like one

    @property
    def device(self) -> torch.device:
        """Where the products run."""
        return self._chunks.device

    def permuted(self, order: Tensor) -> StreamedSide:
        """Not to be had: it would read the source in a random order."""
        raise InvalidInput(
            f"Shuffling {len(order)} rows that are read in chunks would read the source in random "
            f"order. Load a sample of the rows into a Side for floors without a closed form."
        )

    def restricted(self, rows: Tensor) -> StreamedSide:
        """Not to be had: the rows would be read one by one."""
        raise InvalidInput(
            f"{len(rows)} of {self.n_inputs} rows were asked for, but they are read in chunks. "
            f"Load a sample of the rows into a Side."
        )

    def in_float64(self) -> StreamedSide:
        """The same source with every product in float64: slower, for verification."""
        return StreamedSide(
            self._chunks.source,
            logits=self._said if self.has_logits else None,
            labels=self._labels,
            precision=torch.float64,
            kind=self._kind,
            groups=self._groups,
            rows_at_once=self.rows_at_once,
            device=str(self.device),
        )

    @property
    def unit(self) -> Tensor:
        """Not to be had."""
        raise InvalidInput(
            f"This measure needs all {self.n_inputs} rows at once, but they are read in chunks. "
            f"Load them, or a sample of them, into a Side; or choose a function of moments, such "
            f"as linear_cka, procrustes_similarity or mean_cca (those that say `streams`)."
        )

    @property
    def representation(self) -> Tensor:
        """Not to be had."""
        return self.unit

    def prepare_neighbours(self, counts: Any) -> None:
        """Not to be had."""
        del counts
        _ = self.unit

    def by_pieces(
        self, make: Callable[[slice | Tensor], Tensor], rows: slice | Tensor = slice(None)
    ) -> Tensor:
        """What `make` gives for these rows, asked for one chunk after the other."""
        if isinstance(rows, slice):
            return torch.cat([make(piece) for piece in self._pieces(rows)])
        places = torch.arange(self.n_inputs, device=self.device)[rows]
        found = torch.empty(len(places), dtype=torch.float64, device=self.device)
        for piece in self._pieces():
            is_here = (places >= piece.start) & (places < piece.stop)
            if bool(is_here.any()):
                found[is_here] = make(places[is_here])
        return found

    def given_rows(self, rows: slice | Tensor) -> Tensor:
        """Some rows as given: of indices, all that lies between the first and last is read."""
        if isinstance(rows, slice):
            return self._chunks[rows]
        first, last = (int(end) for end in rows.aminmax())
        return self._chunks[first : last + 1][rows - first]

    def unit_rows(self, rows: slice | Tensor) -> Tensor:
        """These rows with centred columns, of a whole with Frobenius norm one."""
        return preprocessing.centred_and_scaled(
            self.given_rows(rows), self.means, self.norm, self.precision
        )

    @property
    def n_factors(self) -> int:
        """D: what is read in chunks is not turned into fewer columns."""
        return self.n_units

    def factor_rows(self, rows: slice | Tensor) -> Tensor:
        """Those of `unit`."""
        return self.unit_rows(rows)

    def gram_times(self, weights: Tensor, rows: slice | Tensor) -> Tensor:
        """Some rows of `unit unitᵀ weights`, for which the source is read twice."""
        total = torch.zeros(self.n_units, dtype=torch.float64, device=self.device)
        for piece in self._pieces():
            total += self.unit_rows(piece).double().T @ weights[piece]
        return self.by_pieces(lambda some: self.unit_rows(some).double() @ total, rows)

    @property
    def covariance(self) -> Tensor:
        """`unitᵀ unit`, `(D, D)` in float64."""
        return self.once("covariance", lambda: self.times(self))

    def times(self, other: Side) -> Tensor:
        """`unitᵀ other.factor` in float64, one chunk after the other."""
        shape = self.n_units, other.n_factors
        total = torch.zeros(shape, dtype=torch.float64, device=self.device)
        reader = self
        if isinstance(other, StreamedSide) and other.rows_at_once < self.rows_at_once:
            reader = other
        for rows in reader._pieces():
            mine = self.unit_rows(rows)
            theirs = mine if other is self else other.factor_rows(rows).to(mine)
            total += preprocessing.product(mine.T, theirs.T)
        return total

    def _pieces(self, rows: slice = slice(None)) -> Iterator[slice]:
        first, end, _ = rows.indices(self.n_inputs)
        for start in range(first, end, self.rows_at_once):
            yield slice(start, min(start + self.rows_at_once, end))


class _Chunks:
    """A source whose slices are checked tensors on one device."""

    def __init__(self, source: Source, device: str) -> None:
        self.shape = tuple(source.shape)
        if len(self.shape) != 2 or 0 in self.shape:
            raise InvalidInput(
                f"A streamed representation has the shape (inputs, units), but {self.shape} was "
                f"found. Flatten it, or average over space, before it is written."
            )
        self.source = source
        self.device = torch.device(device)
        self.dtype = self[:1].dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | int) -> Tensor:
        if isinstance(rows, int):
            return self[rows : rows + 1][0]
        piece = preprocessing.as_matrix(self.source[rows], "representation")
        return piece.to(self.device)

    def numel(self) -> int:
        return self.shape[0] * self.shape[1]
