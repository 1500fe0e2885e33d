"""Where a score stands between the floor and the ceiling of its measure."""

from __future__ import annotations

from samemind.lazy import np

NAN = float("nan")
# Between a floor and a ceiling nearer than this, the way from one to the other means nothing.
SMALLEST_RANGE = 0.02


def ceiling(
    scores: np.ndarray, same_architecture: np.ndarray, same_random_seed: np.ndarray
) -> float:
    """The mean score of pairs of one architecture with different random seeds; NaN without any.

    All three have shape (pairs,). It answers: how alike are models that differ by chance alone?
    """
    chosen = same_architecture & ~same_random_seed & np.isfinite(scores)
    return float(scores[chosen].mean()) if chosen.any() else NAN


def normalised(
    scores: np.ndarray | float, floor: np.ndarray | float, ceiling: np.ndarray | float
) -> np.ndarray:
    """How far a score is on the way from the floor (0) to the ceiling (1).

    Not clipped: a pair can be less alike than permuted rows, or more than two random seeds. NaN
    where floor and ceiling are nearer than 0.02.

    >>> float(normalised(0.5, 0.25, 0.75))
    0.5
    """
    scores, floor, ceiling = (np.asarray(v, dtype=float) for v in (scores, floor, ceiling))
    span = ceiling - floor
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(span >= SMALLEST_RANGE, (scores - floor) / span, NAN)
