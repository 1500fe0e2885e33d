"""Inputs whose last places among the neighbours are tied, and who shares them.

Where the k-th nearest of an input is as near as the next one, no order decides: all that are tied
share the places that are left, in equal parts. Ten places, seven inputs that are nearer and six
that are tied for the other three: each of the six is a neighbour by half.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from samemind.lazy import np, torch

if TYPE_CHECKING:
    from torch import Tensor

#: Numbers of rows by inputs that are unpacked at a time.
AT_ONCE = 2**23


@dataclass
class Ties:
    """Of M of N inputs, who is tied for the last of the k places.

    **Arguments:** the inputs `(M,)`, ascending; who is tied, as packed bits `(M, 8 ⌈N/64⌉)`; how
    many are nearer than those `(M,)`; and the cosine at which they are tied `(M,)`.
    """

    k: int
    n_inputs: int
    rows: Tensor
    bits: Tensor
    nearer: Tensor
    cosines: Tensor

    @classmethod
    def joined(cls, k: int, n_inputs: int, parts: list[Ties]) -> Ties | None:
        """The ties of several blocks of rows; None if there are none."""
        if not parts:
            return None
        fields = [
            torch.cat([getattr(part, name) for part in parts])
            for name in ("rows", "bits", "nearer", "cosines")
        ]
        return cls(k, n_inputs, *fields)

    @cached_property
    def counts(self) -> Tensor:
        """How many are tied, `(M,)` integers."""
        return bit_counts(self.bits)

    @cached_property
    def shares(self) -> Tensor:
        """The part of a place that each of the tied has, `(M,)` in float64, below one."""
        return (self.k - self.nearer).double() / self.counts

    @cached_property
    def places(self) -> Tensor:
        """Where each of the N inputs stands in `rows`, `(N,)`; -1 for one without a tie."""
        found = torch.full((self.n_inputs,), -1, dtype=torch.int64, device=self.rows.device)
        found[self.rows] = torch.arange(len(self.rows), device=self.rows.device)
        return found

    def parts_of(self, rows: Tensor, columns: Tensor) -> Tensor:
        """By how much each column is tied for a place in its row, in float64; 0 if it is not.

        **Arguments:** indices of inputs, of one shape; a column below zero is nobody.
        """
        places = self.places[rows]
        is_tied = (places >= 0) & (columns >= 0)
        places, columns = places.clamp_min(0), columns.clamp_min(0)
        bytes_there = self.bits[places, columns >> 3].to(torch.int64)
        is_tied &= ((bytes_there >> (7 - (columns & 7))) & 1).bool()
        return torch.where(is_tied, self.shares[places], 0.0)

    def chunks(self) -> Iterator[tuple[slice, Tensor]]:
        """Some of the M rows at a time, and who is tied in them, booleans `(rows, N)`."""
        at_once = max(1, AT_ONCE // self.n_inputs)
        for start in range(0, len(self.rows), at_once):
            these = slice(start, start + at_once)
            yield these, unpacked(self.bits[these], self.n_inputs)

    def permuted(self, order: Tensor) -> Ties:
        """The ties after input `order[i]` has become input `i`."""
        new_index = torch.empty_like(order)
        new_index[order] = torch.arange(len(order), device=order.device)
        rows, places = new_index[self.rows].sort()
        bits = torch.cat([packed(tied[:, order]) for _, tied in self.chunks()])[places]
        nearer, cosines = self.nearer[places], self.cosines[places]
        return Ties(self.k, self.n_inputs, rows, bits, nearer, cosines)


def packed(members: Tensor) -> Tensor:
    """Booleans `(M, N)` as bits, padded to whole 64-bit words, `(M, 8 ⌈N/64⌉)`."""
    if members.device.type == "cpu":
        bits = np.packbits(members.numpy(), axis=1)
        return torch.from_numpy(np.pad(bits, ((0, 0), (0, -bits.shape[1] % 8))))
    padded = torch.nn.functional.pad(members, (0, -members.shape[1] % 64))
    weights = 2 ** torch.arange(7, -1, -1, device=members.device)
    return (padded.unflatten(1, (-1, 8)) * weights).sum(2).to(torch.uint8)


def unpacked(bits: Tensor, n: int) -> Tensor:
    """Booleans `(M, N)` from bits."""
    if bits.device.type == "cpu":
        return torch.from_numpy(np.unpackbits(bits.numpy(), axis=1, count=n)).bool()
    shifts = torch.arange(7, -1, -1, device=bits.device)
    return ((bits.to(torch.int64)[:, :, None] >> shifts) & 1).bool().flatten(1)[:, :n]


def bit_counts(bits: Tensor) -> Tensor:
    """How many bits of each row are set, `(M,)` integers."""
    if bits.device.type == "cpu":
        words = bits.contiguous().numpy().view(np.uint64)
        return torch.from_numpy(np.bitwise_count(words).sum(1, dtype=np.int64))
    ones = torch.zeros(256, dtype=torch.int64, device=bits.device)
    for shift in range(8):
        ones += (torch.arange(256, device=bits.device) >> shift) & 1
    return ones[bits.to(torch.int64)].sum(1)
