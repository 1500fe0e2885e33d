"""Parts of a representation by a reference: what is linear in it within classes, and the rest.

The reference is anything with a row per input: the pixels of the images, or another network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from samemind.errors import InvalidInput, UndefinedScore
from samemind.lazy import torch
from samemind.sides.pair import Pair, Side
from samemind.sides.parts import Classes, classes_of, within_classes

if TYPE_CHECKING:
    from torch import Tensor

    from samemind.arrays import Array

#: Inputs beside the classes for each direction of the reference: more directions fit anything.
INPUTS_FOR_EACH = 5
#: Directions of less variance, as a share of the largest, are rounding.
ROUNDING = 1e-10


def leading_directions(reference: Array, classes: Classes, components: int) -> Tensor:
    """Where the inputs of a class lie along the leading principal components of a reference.

    Of its residuals from the class means; fewer where its residuals have a lower rank.

    **Returns:** `(N, k)` in float64 with orthonormal columns, whose sums over each class are zero.

    **Raises:** `InvalidInput` where the reference has not one row for each input;
    `UndefinedScore` where there are fewer than five inputs beside the classes for each component,
    or the reference does not vary within classes.

    **Cost:** O(N R min(N, R)) for R columns.
    """
    values = torch.as_tensor(reference).detach().to(classes.codes.device).double()
    n = len(classes.codes)
    if len(values) != n:
        raise InvalidInput(
            f"A reference has one row per input, but it has {len(values)} rows for {n} inputs. "
            f"Take it from the same inputs in the same order."
        )
    free = n - len(classes)
    if components < 1 or INPUTS_FOR_EACH * components > free:
        raise UndefinedScore(
            f"{n} inputs of {len(classes)} classes allow between 1 and {free // INPUTS_FOR_EACH} "
            f"components of a reference, but {components} were asked for: more would fit anything."
        )
    values = values.flatten(1) - values.flatten(1).mean(0)
    means = classes.sums(values) / classes.counts[:, None]
    residuals = values - means[classes.codes]
    if residuals.shape[1] <= n:
        squares, vectors = torch.linalg.eigh(residuals.T @ residuals)
    else:
        squares, vectors = torch.linalg.eigh(residuals @ residuals.T)
    kept = (squares > ROUNDING * values.square().sum()).nonzero().flatten()[-components:]
    if not len(kept):
        raise UndefinedScore(
            "The reference is the same for all inputs of a class, so nothing within classes can "
            "be linear in it. Give one that tells inputs apart."
        )
    leading = vectors[:, kept]
    if residuals.shape[1] <= n:
        leading = residuals @ leading
    return torch.linalg.qr(leading).Q


def by_reference(pair: Pair, directions: Tensor) -> tuple[Pair, Pair]:
    """What of both models lies within classes, linear in a reference, and the rest of it.

    **Arguments:**

    - `directions`: of the reference, `(N, k)`, see `leading_directions`.

    **Returns:** two pairs with the labels of the first, for measures within classes.

    **Cost:** O(N k D) per model.
    """
    residuals, labels = within_classes(pair), classes_of(pair).codes
    along, beside = [], []
    for side in (residuals.a, residuals.b):
        whole = side.representation.double()
        fitted = directions @ (directions.T @ whole)
        for found, part in ((along, fitted), (beside, whole - fitted)):
            # What is left of a difference of equals is rounding.
            is_rounding = part.norm() <= ROUNDING * whole.norm()
            held = torch.zeros_like(part) if is_rounding else part
            found.append(Side(representation=held, labels=labels, precision=side.precision))
    return Pair(*along), Pair(*beside)


def share_along(side: Side, directions: Tensor, classes: Classes) -> float:
    """The share of the variance within classes that is linear in a reference, less chance.

    Of a model that has nothing to do with the reference it is 0 on average (the adjusted R²).
    """
    whole = side.representation.double()
    share = float((directions.T @ whole).square().sum() / whole.square().sum())
    free = len(classes.codes) - len(classes)
    return 1 - (1 - share) * free / (free - directions.shape[1])
