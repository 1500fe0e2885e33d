"""Is it still the same network? Differences of outputs beside what rounding makes of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from samemind.lazy import torch
from samemind.statistics.swaps import exact_interval

if TYPE_CHECKING:
    from torch import Tensor

#: From the strictest on: what one promises, those after it promise as well.
LEVELS = ("identical bits", "equal up to rounding", "the same answers", "changed")
BITS, ROUNDING, ANSWERS, CHANGED = LEVELS

#: A difference counts once it is so many times what rounding was seen to make. Other orders of
#: sums (another library, a folded normalisation) round as often as the one measured, not alike.
BEYOND = 10.0


@dataclass(frozen=True)
class Difference:
    """How far two arrays of the same shape are apart.

    - `typical`: the root of the mean square of their differences; `largest`: the largest one.
    - `scale`: the root of the mean square of the first array, in the same units.
    """

    typical: float
    largest: float
    scale: float

    @property
    def share(self) -> float:
        """The typical difference in parts of the scale; infinite where that is 0."""
        if not self.typical:
            return 0.0
        return self.typical / self.scale if self.scale else float("inf")

    def is_beyond(self, floor: Difference) -> bool:
        """Whether more than rounding made it; a difference that is no number is."""
        return not (
            self.typical <= BEYOND * floor.typical and self.largest <= BEYOND * floor.largest
        )

    def or_larger(self, other: Difference) -> Difference:
        """The larger of both, typically and at most."""
        return Difference(
            max(self.typical, other.typical), max(self.largest, other.largest), self.scale
        )


NONE = Difference(0.0, 0.0, 0.0)


def difference(first: Tensor, second: Tensor) -> Difference:
    """How far two arrays of the same shape are apart, in float64.

    Infinities at the same places, of the same sign, differ by nothing.

    >>> difference(torch.tensor([3.0, 4.0]), torch.tensor([3.0, 4.5])).largest
    0.5
    """
    if not first.numel():
        return NONE
    one, other = first.double(), second.double()
    apart = torch.where(one == other, 0.0, one - other).abs()
    scale = one.square().mean().sqrt()
    return Difference(float(apart.square().mean().sqrt()), float(apart.max()), float(scale))


def rounding_of(values: Tensor, precision: torch.dtype) -> Difference:
    """What one rounding to a precision makes of these values at most."""
    unit = torch.finfo(precision).eps / 2
    scale = float(values.double().square().mean().sqrt())
    return Difference(unit * scale, unit * float(values.double().abs().max()), scale)


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Of N inputs, how many answers are no longer what they were.

    - `what`: "decision" (the predicted class), "first neighbour" (of the representation) or "next
      token".
    - `alike`: how many of them count as one, where they are not independent.
    """

    what: str
    n_inputs: int
    changed: int
    alike: float = 1.0

    @property
    def share(self) -> float:
        return self.changed / self.n_inputs

    @property
    def interval(self) -> tuple[float, float]:
        """The exact 95 % interval of the share that changes (Clopper and Pearson)."""
        n = max(1, round(self.n_inputs / self.alike))
        return exact_interval(min(n, round(self.changed / self.alike)), n)


def level_of(
    *, has_equal_bits: bool, is_within_rounding: bool, kept: Kept, tolerance: float
) -> str:
    """The strictest level that the outputs reach on these inputs.

    **Arguments:** `tolerance`: the share of answers that may change under "the same answers".
    """
    if has_equal_bits:
        return BITS
    if is_within_rounding:
        return ROUNDING
    return ANSWERS if kept.share <= tolerance else CHANGED
