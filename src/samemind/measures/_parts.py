"""What the measures of parts share: invariances, residuals, and what moves class means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samemind.lazy import torch
from samemind.measures.base import Floor, Invariance, Measure, Pair
from samemind.sides.parts import between_classes, classes_of, moves_of_means, within_classes

if TYPE_CHECKING:
    from torch import Tensor

INVARIANCES = frozenset(
    {
        Invariance.UNIT_PERMUTATION,
        Invariance.ORTHOGONAL,
        Invariance.ISOTROPIC_SCALING,
        Invariance.TRANSLATION,
    }
)
PERMUTATIONS = 200  # of a few class means, which cost nothing


def residuals(pair: Pair) -> Pair:
    """Both sides without their class means.

    **Raises:** `UndefinedScore` where a class has fewer than two inputs.
    """
    classes_of(pair).check(fewest_inputs=2)
    return within_classes(pair)


def floor_between(pair: Pair, whole: Measure) -> Floor | None:
    """The floor of a measure of class means: that with the classes in another order."""
    return whole.floor(between_classes(pair), permutations=PERMUTATIONS)


def influence_of_means(pair: Pair, first: Tensor, second: Tensor) -> Tensor:
    """The influence of each input on a function of the class means, `(N,)` in float64.

    **Arguments:**

    - `first`, `second`: the slopes of the function in the means of either side, `(C, D)`.

    **Cost:** O(N D).
    """
    classes = classes_of(pair)
    return moves_of_means(pair.a, first, classes) + moves_of_means(pair.b, second, classes)


def slopes_of_debiased_cka(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The slopes of debiased linear CKA in the rows of both sides, `(C, D1)` and `(C, D2)`."""
    a, b = _u_centred(x), _u_centred(y)
    of_x, of_y, of_both = (a * a).sum(), (b * b).sum(), (a * b).sum()
    norms = (of_x * of_y).sqrt()
    # U-centring is an orthogonal projection: the slope of <A, B> in K is B.
    return (
        2 * (b @ x) / norms - 2 * of_both / norms * (a @ x) / of_x,
        2 * (a @ y) / norms - 2 * of_both / norms * (b @ y) / of_y,
    )


def _u_centred(x: Tensor) -> Tensor:
    n, gram = len(x), x @ x.T
    gram = gram - torch.diag(gram.diagonal())
    rows = gram.sum(1) / (n - 2)
    gram = gram - rows - rows[:, None] + gram.sum() / ((n - 1) * (n - 2))
    return gram - torch.diag(gram.diagonal())


def slopes_of_procrustes(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The slopes of Procrustes similarity in the rows of both sides, `(C, D1)` and `(C, D2)`."""
    x, y = x - x.mean(0), y - y.mean(0)
    left, values, right = torch.linalg.svd(x.T @ y, full_matrices=False)
    # Directions that one side lacks have no slope of their own.
    kept = values > 1e-12 * values[0]
    rotation = left[:, kept] @ right[kept]
    of_x, of_y = (torch.linalg.vector_norm(side) for side in (x, y))
    norms, score = of_x * of_y, values.sum() / (of_x * of_y)
    return (
        (y @ rotation.T) / norms - score * x / of_x**2,
        (x @ rotation) / norms - score * y / of_y**2,
    )
