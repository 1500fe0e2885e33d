"""Scores of pairs as one symmetric matrix per level, which is what bootstraps and maps need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from samemind.errors import InvalidInput
from samemind.lazy import np


@dataclass(frozen=True, eq=False)
class PairScores:
    """Mean scores of the pairs of units, level by level.

    - `scores`: (levels, units, units), symmetric, NaN on the diagonal and where a pair is missing.
    - `levels`: the ε of each matrix, rising. `units`: the names of the rows.
    """

    scores: np.ndarray
    levels: tuple[float, ...]
    units: tuple[str, ...]

    @property
    def level_means(self) -> np.ndarray:
        """The mean over pairs of each level; NaN for a level without any."""
        counts = np.isfinite(self.scores).sum(axis=(1, 2))
        with np.errstate(invalid="ignore"):
            return np.nansum(self.scores, axis=(1, 2)) / np.where(counts, counts, np.nan)

    def common(self) -> PairScores:
        """The same with the units that take part in a pair at every level."""
        present = np.isfinite(self.scores).any(axis=2).all(axis=0)
        kept = np.flatnonzero(present)
        return PairScores(
            self.scores[:, kept][:, :, kept], self.levels, tuple(self.units[i] for i in kept)
        )


def pair_scores(
    levels: Sequence[float], a: Sequence[str], b: Sequence[str], scores: Sequence[float]
) -> PairScores:
    """The matrices of `PairScores` from a list of pairs.

    What a pair has several scores for (two directions on inverted inputs, several random seeds)
    is averaged; pairs of a unit with itself are left out.

    **Raises:** `InvalidInput` if the four lists are not of one length.
    """
    if not len(levels) == len(a) == len(b) == len(scores):
        raise InvalidInput(
            f"Pairs need one level, two names and one score each, but {len(levels)} levels, "
            f"{len(a)} and {len(b)} names and {len(scores)} scores were given."
        )
    distinct = sorted(set(levels))
    names = sorted({*a, *b})
    place = {name: i for i, name in enumerate(names)}
    rank = {level: i for i, level in enumerate(distinct)}
    value = np.asarray(scores, dtype=float)
    at = np.array([rank[level] for level in levels], dtype=int)
    i = np.array([place[name] for name in a], dtype=int)
    j = np.array([place[name] for name in b], dtype=int)
    used = np.isfinite(value) & (i != j)
    at, i, j, value = at[used], i[used], j[used], value[used]
    shape = (len(distinct), len(names), len(names))
    sums, counts = np.zeros(shape), np.zeros(shape)
    for rows, columns in ((i, j), (j, i)):
        np.add.at(sums, (at, rows, columns), value)
        np.add.at(counts, (at, rows, columns), 1)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return PairScores(means, tuple(distinct), tuple(names))
