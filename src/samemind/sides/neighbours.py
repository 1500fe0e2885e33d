"""The nearest neighbours of every input: exact, and for all k at once.

Cosines come from products in float32 where arrays are large. Wherever that could decide wrongly
who is a neighbour, the few cosines in question are computed again in float64. So the sets are
those of float64, on every device and with every library. Where equal cosines meet at the k-th
place, nobody is chosen by the order of the inputs: all of them share the places that are left.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from samemind.lazy import np, torch
from samemind.sides import preprocessing
from samemind.sides.neighbour_sets import LISTED_FROM, NeighbourSets, as_lists
from samemind.sides.ties import Ties, packed

if TYPE_CHECKING:
    from torch import Tensor

#: Cosines closer than this are equal.
TIE = 1e-12
#: Float32 cosines closer than this may be in the wrong order. Each is wrong by up to 1.4e-6 for
#: near neighbours (measured, D from 320 to 16,384, oneDNN), so a pair by twice that; and a margin.
FLOAT32_DOUBT = 8e-6
#: Rows of cosines that are worked on at a time.
ROWS_AT_ONCE = 500
#: Up to this many inputs the symmetric half of the cosines is copied, not computed again.
MIRRORED_UP_TO = 16384


#: Of one block of rows: sets as bits or lists, ties, and the two nearest after the sets.
_Found: TypeAlias = "tuple[Tensor, list[Ties], Tensor]"


@dataclass(frozen=True)
class Rows:
    """Centred rows without the memory of a float64 copy.

    **Arguments:** `values` as given `(N, D)`; the `means` of its columns `(D,)` and the `lengths`
    of its centred rows `(N,)`, both in float64.
    """

    values: Tensor
    means: Tensor
    lengths: Tensor

    def directions(self, precision: torch.dtype) -> Tensor:
        """The centred rows at length one, `(N, D)`; a row that is the mean stays zero."""
        found = torch.empty(self.values.shape, dtype=precision, device=self.values.device)
        for start in range(0, len(found), preprocessing.ROWS_AT_ONCE):
            rows = slice(start, start + preprocessing.ROWS_AT_ONCE)
            centred = self.values[rows].double() - self.means
            found[rows] = centred * self._inverse_lengths[rows, None]
        return found

    @property
    def _inverse_lengths(self) -> Tensor:
        return torch.where(self.lengths > 0, 1 / self.lengths, 0.0)

    def cosines(self, first: Tensor, second: Tensor) -> Tensor:
        """The cosine of row `first[p]` with row `second[p]` in float64, `(P,)`."""
        inverse = self._inverse_lengths
        found = torch.empty(len(first), dtype=torch.float64, device=first.device)
        at_once = max(1, preprocessing.SMALL // self.values.shape[1])
        for start in range(0, len(first), at_once):
            part = slice(start, start + at_once)
            left = self.values[first[part]].double() - self.means
            right = self.values[second[part]].double() - self.means
            cosines = torch.linalg.vecdot(left, right)
            found[part] = cosines * inverse[first[part]] * inverse[second[part]]
        return found


def nearest(
    rows: Rows, precision: torch.dtype, counts: Sequence[int]
) -> tuple[list[NeighbourSets], Tensor]:
    """The neighbour sets for each of the ascending counts k, by cosine, each input left out.

    **Returns:** the sets in the order of the counts; and, because the cosines are at hand, the
    squared norm of each row of the Gram matrix of the centred rows scaled to norm one, `(N,)` in
    float64.

    **Cost:** O(N² D) for all k together; N² numbers up to 16,384 inputs, 500 N beyond.
    """
    # Of the whole, so that its fourth power is in range whatever the scale; NaN if constant.
    weights = (rows.lengths / torch.linalg.vector_norm(rows.lengths)).square()
    gram_squares = torch.empty_like(weights)

    def blocks() -> Iterator[tuple[int, Tensor]]:
        for start, block in _cosine_blocks(rows.directions(precision)):
            these = slice(start, start + len(block))
            # The input itself is at cosine one, whatever rounding made of it.
            block.diagonal(start).copy_(weights[these] > 0)
            scaled = block.square() @ weights.to(block.dtype)
            gram_squares[these] = scaled.double() * weights[these]
            yield start, block

    doubt = TIE if precision == torch.float64 else FLOAT32_DOUBT
    return _sets_of(blocks(), rows, counts, doubt), gram_squares


class _ByDistance:
    """What stands for `Rows` where distances are given: the nearer, the larger."""

    def __init__(self, distances: Tensor) -> None:
        self.values = distances

    def cosines(self, first: Tensor, second: Tensor) -> Tensor:
        return -self.values[first, second]


def nearest_by_distance(distances: Tensor, counts: Sequence[int]) -> list[NeighbourSets]:
    """The neighbour sets for each of the ascending counts k, by given distances `(N, N)`.

    **Cost:** O(N² log N), and 500 N numbers.
    """
    starts = range(0, len(distances), ROWS_AT_ONCE)
    blocks = ((start, -distances[start : start + ROWS_AT_ONCE]) for start in starts)
    return _sets_of(blocks, _ByDistance(distances), counts, TIE)


def _sets_of(
    blocks: Iterable[tuple[int, Tensor]],
    rows: Rows | _ByDistance,
    counts: Sequence[int],
    doubt: float,
) -> list[NeighbourSets]:
    """The neighbour sets for each k, from blocks of rows of what is larger for nearer inputs.

    Blocks come with the index of their first row. The input itself is left out of them.
    """
    n = len(rows.values)
    is_listed = rows.values.device.type != "cpu" or n >= LISTED_FROM
    found: list[list[_Found]] = [[] for _ in counts]
    for start, block in blocks:
        block.diagonal(start).fill_(-torch.inf)
        for kept, (k, members, ties, next_ones) in zip(
            found, _members(block, start, rows, counts, doubt), strict=True
        ):
            held = as_lists(members, k) if is_listed else packed(members)
            kept.append((held, ties, next_ones))
    return [_joined(k, n, kept, is_listed) for k, kept in zip(counts, found, strict=True)]


def _joined(k: int, n: int, blocks: Sequence[_Found], is_listed: bool) -> NeighbourSets:
    held, ties, next_ones = zip(*blocks, strict=True)
    sets = NeighbourSets.listed(k, torch.cat(held)) if is_listed else NeighbourSets.packed(k, held)
    sets.ties = Ties.joined(k, n, [part for some in ties for part in some])
    sets.next_ones = torch.cat(next_ones)
    return sets


def _cosine_blocks(directions: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Rows of `directions @ directions.T`, some hundreds at a time, with the first row's index.

    A block is only good until the next one is asked for.
    """
    n = len(directions)
    starts = range(0, n, ROWS_AT_ONCE)
    if n <= ROWS_AT_ONCE or n > MIRRORED_UP_TO or directions.device.type != "cpu":
        for start in starts:
            rows = slice(start, start + ROWS_AT_ONCE)
            yield start, preprocessing.product(directions[rows], directions)
        return
    # What lies right of the diagonal is kept transposed: it is what lies below it. One block is
    # filled again and again, and nothing but these halves is kept.
    below: list[Tensor] = []
    whole = torch.empty(ROWS_AT_ONCE, n, dtype=directions.dtype)
    for start in starts:
        end = min(start + ROWS_AT_ONCE, n)
        rows = slice(start, end)
        block = whole[: end - start]
        block[:, rows] = preprocessing.product(directions[rows], directions[rows])
        for left, half in zip(starts, below, strict=False):
            first = start - left - ROWS_AT_ONCE
            block[:, left : left + ROWS_AT_ONCE] = half[first : first + end - start]
        if end < n:
            half = preprocessing.product(directions[rows], directions[end:])
            block[:, end:] = half
            below.append(half.T.contiguous())
        yield start, block


def _members(
    block: Tensor, start: int, rows: Rows | _ByDistance, counts: Sequence[int], doubt: float
) -> Iterator[tuple[int, Tensor, list[Ties], Tensor]]:
    """For each k: who is among the k nearest for certain, who is tied, and the two after them.

    The first as booleans like the block, the last as indices `(rows, 2)`.
    """
    largest, places = _largest(block, min(counts[-1] + 2, block.shape[1]))
    for k in counts:
        last, next_one = largest[:, k - 1], largest[:, min(k, largest.shape[1] - 1)]
        members = block >= last[:, None]
        # With k = N - 1 the next one is the input itself, at minus infinity: never in doubt.
        (doubtful,) = torch.nonzero(~(last - next_one > doubt), as_tuple=True)
        ties = []
        for part in doubtful.split(ROWS_AT_ONCE):
            members[part], tied = _settled(block, part, start, rows, last[part], k, doubt)
            ties.extend(tied)
        yield k, members, ties, _next_ones(block, members, largest, places, k)


def _largest(block: Tensor, count: int) -> tuple[Tensor, Tensor | None]:
    """The largest values of each row, descending, `(rows, count)`, and where, if that is free."""
    if block.device.type != "cpu":
        values, places = block.topk(count, dim=1)
        return values, places
    # Four times faster than torch's topk on a CPU; what is left to sort is `count` wide.
    values = np.partition(block.numpy(), block.shape[1] - count, axis=1)[:, -count:]
    return torch.from_numpy(np.ascontiguousarray(np.sort(values, axis=1)[:, ::-1])), None


def _next_ones(
    block: Tensor, members: Tensor, largest: Tensor, places: Tensor | None, k: int
) -> Tensor:
    """The two nearest after the k, in either order, `(rows, 2)`; -1 where there is none.

    Only the error of a score reads them: cosines that float32 cannot tell apart are not settled.
    """
    n_there = min(k + 2, block.shape[1] - 1) - k
    found = torch.full((len(block), 2), -1, dtype=torch.int32, device=block.device)
    if n_there == 0:
        return found
    if places is not None:
        found[:, :n_there] = places[:, k : k + n_there].int()
        return found
    row, column = _bits_set(packed(block >= largest[:, k + n_there - 1, None]) ^ packed(members))
    place = np.arange(len(row)) - np.searchsorted(row, np.arange(len(block)))[row]
    is_kept = place < n_there
    found[row[is_kept], place[is_kept]] = torch.from_numpy(column[is_kept]).int()
    return found


def _bits_set(bits: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the bits that are set, where they are few, in order."""
    words = bits.numpy().view(np.uint64)
    row, word = np.nonzero(words)
    bytes_there = words[row, word].view(np.uint8).reshape(-1, 8)
    which, bit = np.nonzero(np.unpackbits(bytes_there, axis=1))
    return row[which], 64 * word[which] + bit


def _settled(
    block: Tensor,
    part: Tensor,
    start: int,
    rows: Rows | _ByDistance,
    last: Tensor,
    k: int,
    doubt: float,
) -> tuple[Tensor, list[Ties]]:
    """The members of rows where the k-th and the next cosine are too close to tell apart.

    **Returns:** who is among the k nearest for certain, booleans; and who is tied for the rest.
    """
    cosines = block[part]
    is_above = cosines > last[:, None] + doubt
    is_near = (cosines >= last[:, None] - doubt) & ~is_above
    row, column = torch.nonzero(is_near, as_tuple=True)
    exact = cosines[row, column].double()
    if block.dtype != torch.float64:
        exact = rows.cosines(part[row] + start, column)
    is_taken, is_tied, last = _take_largest(row, exact, k - is_above.sum(1), len(part))
    is_above[row[is_taken], column[is_taken]] = True
    if not bool(is_tied.any()):
        return is_above, []
    tied = torch.zeros_like(is_above)
    tied[row[is_tied], column[is_tied]] = True
    (some,) = torch.nonzero(tied.any(1), as_tuple=True)
    nearer = is_above[some].sum(1)
    ties = Ties(k, block.shape[1], part[some] + start, packed(tied[some]), nearer, last[some])
    return is_above, [ties]


def _take_largest(
    row: Tensor, value: Tensor, n_open: Tensor, n_rows: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Which of the candidates are the `n_open[row]` largest of their row, and which are tied.

    The candidates come ordered by row; every row has enough of them.

    **Returns:** who is taken; who is tied with more than can be taken; the last value of each row.
    """
    per_row = torch.bincount(row, minlength=n_rows)
    first = per_row.cumsum(0) - per_row
    descending = value.argsort(descending=True, stable=True)
    by_row = descending[row[descending].argsort(stable=True)]
    last = value[by_row[first + n_open - 1]]
    is_above = value > last[row] + TIE
    is_equal = (value >= last[row] - TIE) & ~is_above
    n_above = torch.zeros_like(n_open).index_add_(0, row, is_above.to(n_open.dtype))
    n_equal = torch.zeros_like(n_open).index_add_(0, row, is_equal.to(n_open.dtype))
    fits = (n_above + n_equal == n_open)[row]
    return is_above | (is_equal & fits), is_equal & ~fits, last
