"""What a map of layers gives by chance: its largest score, that of each row, and its best path.

One order of the inputs is shared by all cells: chance that raises one raises those like it too.
"""

from __future__ import annotations

from dataclasses import dataclass

from samemind.lazy import np
from samemind.statistics.verdict import ALPHA, holm

#: Null maps that are drawn, of few cells and of many.
DRAWS, DRAWS_OF_MANY, MANY_CELLS = 499, 199, 1000
#: Below this skewness a gamma distribution is the normal one.
NEARLY_NORMAL = 1e-3


@dataclass(frozen=True)
class Chance:
    """The p-values of a map of scores `(R, C)`, larger being more alike.

    - `row`: the chance of a score as large anywhere in the same row; `whole`: anywhere in the map.
    - `path`: the cells of the best path; `path_score`, `path_p_value`: its mean, and the chance of
      a path as good. NaN where a cell has no score.
    """

    row: np.ndarray
    whole: np.ndarray
    path: np.ndarray
    path_score: float
    path_p_value: float


def chance_of(scores: np.ndarray, null_maps: np.ndarray) -> Chance:
    """The p-values of `scores` `(R, C)` beside those of `null_maps` `(M, R, C)`.

    (1 + null maps at least as large) / (1 + M). A cell without a score has none, and counts in no
    maximum.
    """
    known = np.isfinite(scores)
    nulls = np.where(known, null_maps, -np.inf)
    of_rows, of_maps = nulls.max(2), nulls.max((1, 2))

    def p_value(null: np.ndarray, found: np.ndarray) -> np.ndarray:
        """`null` (M,) ascending."""
        beyond = len(null) - np.searchsorted(null, found, side="left")
        return np.where(np.isfinite(found), (1 + beyond) / (1 + len(null)), np.nan)

    row = np.stack([p_value(np.sort(of_rows[:, i]), scores[i]) for i in range(len(scores))])
    whole = p_value(np.sort(of_maps), scores)
    if not known.all():
        return Chance(row, whole, np.zeros_like(known), float("nan"), float("nan"))
    path, path_score = best_path(scores)
    null_paths = np.sort(path_scores(null_maps))
    return Chance(row, whole, path, path_score, float(p_value(null_paths, np.array(path_score))))


def null_maps(
    mean: np.ndarray,
    deviation: np.ndarray,
    skewness: np.ndarray,
    likeness: tuple[np.ndarray, np.ndarray],
    *,
    random_seed: int,
) -> np.ndarray:
    """Maps as shuffled inputs would give them, `(M, R, C)`, from the moments over all orders.

    For scores that are inner products of centred Gram matrices: over all orders the scores of two
    cells go together as the product of how alike both their rows' matrices and both their columns'
    matrices are (the polarised second moment of Kazi-Aoual et al., 1995). Normal scores with that
    covariance are given the gamma distribution of each cell, by the cube of Wilson and Hilferty
    (1931).

    **Arguments:** moments of each cell, `(R, C)`; the cosines of the matrices of the rows `(R, R)`
    and of the columns `(C, C)`.

    **Cost:** O(M R C (R + C)).
    """
    rows, columns = (_root(part).astype(np.float32) for part in likeness)
    count = DRAWS if mean.size <= MANY_CELLS else DRAWS_OF_MANY
    drawn = np.random.default_rng(random_seed).standard_normal(
        (count, len(rows), len(columns)), dtype=np.float32
    )
    normal = rows @ (drawn @ columns.T)
    known = np.where(np.isfinite(skewness), skewness, 0.0)
    shape = (4 / np.maximum(known, NEARLY_NORMAL) ** 2).astype(np.float32)
    cubed = np.maximum(1 - 1 / (9 * shape) + normal / (3 * np.sqrt(shape)), 0.0) ** 3
    skewed = (shape * (cubed - 1)) * (np.maximum(known, NEARLY_NORMAL) / 2).astype(np.float32)
    return mean + deviation * np.where(known > NEARLY_NORMAL, skewed, normal)


def _root(likeness: np.ndarray) -> np.ndarray:
    """A square root of a matrix of cosines; of a layer that has none, one of its own."""
    filled = np.where(np.isfinite(likeness), likeness, np.eye(len(likeness)))
    values, vectors = np.linalg.eigh(filled)
    return vectors * np.sqrt(np.maximum(values, 0.0))


# -- paths


def _accumulated(maps: np.ndarray) -> np.ndarray:
    """The best total up to each cell, `(M, R, C)`, by diagonals."""
    n_rows, n_columns = maps.shape[1:]
    total = np.full((len(maps), n_rows + 1, n_columns + 1), -np.inf)
    total[:, 1, 1] = 2 * maps[:, 0, 0]
    for diagonal in range(1, n_rows + n_columns - 1):
        i = np.arange(max(0, diagonal - n_columns + 1), min(diagonal, n_rows - 1) + 1)
        j = diagonal - i
        here = maps[:, i, j]
        straight = np.maximum(total[:, i, j + 1], total[:, i + 1, j]) + here
        total[:, i + 1, j + 1] = np.maximum(straight, total[:, i, j] + 2 * here)
    return total[:, 1:, 1:]


def path_scores(maps: np.ndarray) -> np.ndarray:
    """The mean score along the best path of each map, `(M,)` from `(M, R, C)`.

    A path goes from the first layers of both to the last ones, and never back. A step of one model
    counts once and a step of both twice, so that all paths weigh R + C.

    **Source:** the symmetric form of Sakoe and Chiba (1978), doi:10.1109/TASSP.1978.1163055.

    **Cost:** O(M R C).

    >>> path_scores(np.array([[[1.0, 0.0], [0.0, 1.0]]]))
    array([1.])
    """
    return _accumulated(maps)[:, -1, -1] / sum(maps.shape[1:])


def best_path(scores: np.ndarray) -> tuple[np.ndarray, float]:
    """The cells of the best path, `(R, C)`, and its mean score; see `path_scores`."""
    total = _accumulated(scores[None])[0]
    path = np.zeros(scores.shape, dtype=bool)
    i, j = scores.shape[0] - 1, scores.shape[1] - 1
    while True:
        path[i, j] = True
        if i == j == 0:
            break
        ways = [
            (total[i - 1, j - 1] + 2 * scores[i, j], i - 1, j - 1) if i and j else None,
            (total[i - 1, j] + scores[i, j], i - 1, j) if i else None,
            (total[i, j - 1] + scores[i, j], i, j - 1) if j else None,
        ]
        _, i, j = max(way for way in ways if way is not None)
    return path, float(total[-1, -1] / sum(scores.shape))


# -- the best of a row


def best_of_row(scores: np.ndarray, influences: np.ndarray) -> tuple[int, np.ndarray]:
    """The best of C scores on the same inputs, and which are not told apart from it, `(C,)`.

    Paired differences, corrected for their number (Holm) at 5 %. The best itself is among those
    not told apart where another one is.

    **Arguments:** `scores` `(C,)`, larger being better; `influences` of each input, `(N, C)`.
    """
    n = len(influences)
    best = int(np.nanargmax(scores))
    errors = np.sqrt(np.square(influences - influences[:, [best]]).sum(0) / n / (n - 1))
    from scipy.special import stdtr  # scipy.stats takes seconds to import

    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.abs(scores - scores[best]) / errors
    p_values = 2 * stdtr(n - 1, -ratio)
    others = np.arange(len(scores)) != best
    tied = np.zeros(len(scores), dtype=bool)
    corrected = np.array(holm(list(p_values[others])))
    # An equal score without an error (0 / 0) cannot be told apart either.
    equal = np.isclose(scores, scores[best], rtol=0, atol=1e-12)
    tied[others] = (corrected >= ALPHA) | equal[others]
    tied[best] = bool(tied.any())
    return best, tied
