"""Is it still the same model? Of outputs that are given as arrays, without a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from samemind.comparison.arrays import Rows, sides_of_rows
from samemind.comparison.fidelity import Fidelity, kept_of, output_of, outputs_apart
from samemind.errors import InvalidInput
from samemind.lazy import torch
from samemind.sides.given_distances import GivenDistances
from samemind.statistics.fidelity import level_of, rounding_of

if TYPE_CHECKING:
    from torch import Tensor

PRECISIONS = ("bfloat16", "float16", "float32", "float64")


def fidelity_of_rows(
    given: Mapping[str, Rows], *, tolerance: float = 0.0, join: str = "exact", drops: bool = False
) -> Fidelity:
    """Whether the outputs of the second model are still those of the first.

    No network runs, so rounding is that of the coarser of the two precisions alone.

    **Arguments:**

    - `given`: two, of one kind: logits, else representations. Rows are joined by their ids.

    **Raises:** `InvalidInput` for what is not two outputs of one shape, or rows that cannot be
    joined.
    """
    sides, notes = sides_of_rows(given, join=join, drops_missing=drops)
    (a, one), (b, other) = sides.items()
    for name, side in sides.items():
        if isinstance(side, GivenDistances) or side.has_only_decisions:
            raise InvalidInput(
                f"Fidelity is of what models give for each input, but {name} has "
                f"{'distances between inputs' if not side.has_logits else 'decisions'} alone. "
                f"Give logits or a representation, or use samemind.compare."
            )
    if one.has_logits != other.has_logits:
        has, lacks = (a, b) if one.has_logits else (b, a)
        raise InvalidInput(
            f"{has} has logits, and {lacks} has none, so their outputs are of two kinds. Give both "
            f"logits, or both representations alone."
        )
    first, second = output_of(one), output_of(other)
    if first.shape != second.shape:
        raise InvalidInput(
            f"Fidelity needs outputs of the same shape, but {a} and {b} give {first.shape[1]} and "
            f"{second.shape[1]} numbers for an input. Compare them with samemind.compare."
        )
    if len(first) < 3 and not one.has_logits:
        raise InvalidInput(
            f"First neighbours are among three inputs or more, but {len(first)} were given."
        )
    name = _coarser(first, second)
    floor = rounding_of(first, getattr(torch, name))
    apart, n_beyond = outputs_apart(first, second, floor)
    kept, neighbours = kept_of(one, other)
    level = level_of(
        has_equal_bits=torch.equal(first, second),
        is_within_rounding=not n_beyond,
        kept=kept,
        tolerance=tolerance,
    )
    told = (
        f"Outputs were given and no network ran, so no layers were compared, and rounding is that "
        f"of numbers in {name} alone: computing a network otherwise makes more."
    )
    return Fidelity(
        a=a, b=b, level=level, tolerance=tolerance, n_inputs=len(first), difference=apart,
        floor=floor, n_beyond=n_beyond, kept=kept, neighbours=neighbours,
        ways=(f"one rounding to {name}",), notes=(*notes, told),
    )  # fmt: skip


def _coarser(*outputs: Tensor) -> str:
    """The coarser of the precisions that hold all numbers of either, by its name."""
    found = [next(p for p in PRECISIONS if _is_exact(values, p)) for values in outputs]
    return max(found, key=lambda name: torch.finfo(getattr(torch, name)).eps)


def _is_exact(values: Tensor, precision: str) -> bool:
    narrow: Any = values.to(getattr(torch, precision))
    return torch.equal(narrow.to(values.dtype), values)
