"""What two models share within classes, split by a reference such as the pixels of the images."""

from __future__ import annotations

from math import nan
from typing import TYPE_CHECKING, Any

from samemind.errors import InvalidInput, UndefinedScore
from samemind.lazy import np, pd, torch
from samemind.measures.base import MEASURES, Measure, Pair
from samemind.sides.parts import classes_of, shuffled_within, within_classes
from samemind.sides.reference import by_reference, leading_directions, share_along

if TYPE_CHECKING:
    from torch import Tensor

    from samemind.arrays import Array

PARTS = ("along", "beside")


def split_by_reference(
    pair: Pair,
    reference: Array,
    *,
    measure: str = "debiased_linear_cka_within_classes",
    components: int = 100,
    permutations: int = 20,
    random_seed: int = 0,
) -> pd.DataFrame:
    """The score of what is linear in a reference within classes, and of the rest of it.

    **Arguments:**

    - `pair`: two models on the same inputs, with labels.
    - `reference`: a row per input, `(N, …)`: pixels, or another network's representation.
    - `measure`: one of those within classes, whose score both parts get.
    - `components`: leading principal components of the reference within classes.
    - `permutations`: of one model's inputs inside their classes, after which the parts are made
      anew: for the floor, which is not 0 for what lies in the few directions of a reference.

    **Returns:** a row for each part ('along' and 'beside' the reference): `score`,
    `standard_error`, `floor`, `floor_p95`, `share_a`, `share_b` (of the variance within classes of
    either model, less chance), `components` (that there are) and `reason` of an empty score. The
    standard error of what lies along the reference is empty: an input moves its directions.

    **Raises:** `InvalidInput` for another measure, labels or rows that are missing;
    `UndefinedScore` for too many components, see `samemind.sides.reference`.

    **Cost:** O(N R min(N, R)) for the R columns of the reference, and a score for each permutation.
    """
    chosen = MEASURES[measure]
    if not chosen.name.partition("@")[0].endswith("_within_classes"):
        known = ", ".join(name for name in MEASURES if name.endswith("_within_classes"))
        raise InvalidInput(
            f"A reference splits what lies within classes, which '{measure}' is not of. Use one "
            f"of: {known}."
        )
    classes = classes_of(pair)
    directions = leading_directions(reference, classes, components)
    shuffled = _shuffled(pair, directions, chosen, permutations, random_seed)
    rows = []
    for number, (part, found) in enumerate(zip(PARTS, by_reference(pair, directions), strict=True)):
        row = _scored(found, chosen, has_error=part == "beside")
        if permutations and row["reason"] is None:
            scores = shuffled[:, number]
            row |= {"floor": scores.mean(), "floor_p95": np.quantile(scores, 0.95, method="higher")}
        rows.append({"part": part, "measure": measure} | row)
    table = pd.DataFrame(rows)
    residuals = within_classes(pair)
    for name, side in (("share_a", residuals.a), ("share_b", residuals.b)):
        along = share_along(side, directions, classes)
        table[name] = [along, 1 - along]
    return table.assign(components=directions.shape[1])


def _scored(found: Pair, chosen: Measure, *, has_error: bool) -> dict[str, Any]:
    empty = {"score": nan, "standard_error": nan, "floor": nan, "floor_p95": nan, "reason": None}
    found.expects_vectors = has_error
    try:
        score = chosen.score(found)
        error = chosen.standard_error(found) if has_error else None
    except UndefinedScore as why:
        return empty | {"reason": str(why)}
    return empty | {"score": score, "standard_error": nan if error is None else error}


def _shuffled(
    pair: Pair, directions: Tensor, chosen: Measure, permutations: int, random_seed: int
) -> np.ndarray:
    """Scores of both parts after shuffles inside the classes, `(permutations, 2)`."""
    generator = torch.Generator().manual_seed(random_seed)
    scores = np.full((permutations, len(PARTS)), nan)
    for row in scores:
        parts = by_reference(shuffled_within(pair, generator), directions)
        row[:] = [_scored(part, chosen, has_error=False)["score"] for part in parts]
    return scores
