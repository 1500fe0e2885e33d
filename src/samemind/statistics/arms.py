"""Arms at matched accuracy: is similarity what an arm does, or what an accuracy comes with?

An arm is a study along some axis: robust training, noise, stopping early. The models of two arms
differ in accuracy as well, and similarity may follow that. So each level of an arm is compared
with the reference arm at the accuracy of that level, between the levels of the reference.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from samemind.errors import InvalidInput
from samemind.statistics.pairs import PairScores
from samemind.statistics.trends import FEWEST_UNITS, NAN, Estimate, jackknifed


@dataclass(frozen=True, eq=False)
class Arm:
    """Scores and accuracies of the models of one arm, level by level.

    - `accuracies`: (levels, units) of the clean accuracy, NaN for a model that is absent.
    """

    pairs: PairScores
    accuracies: np.ndarray

    def __post_init__(self) -> None:
        expected = self.pairs.scores.shape[:2]
        if self.accuracies.shape != expected:
            raise InvalidInput(
                f"An arm has an accuracy for each model at each level, {expected}, but accuracies "
                f"of shape {self.accuracies.shape} were given."
            )

    def curve(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean accuracy and mean score of each level, of the chosen units; NaN for none."""
        scores = self.pairs.scores[:, chosen][:, :, chosen]
        present = np.isfinite(scores).any(axis=2)
        accuracies = np.where(present, self.accuracies[:, chosen], np.nan)
        return _mean(accuracies), _mean(scores.reshape(len(scores), -1))


@dataclass(frozen=True)
class Matched:
    """One level of an arm beside the reference arm at the same accuracy.

    - `reference`: the score of the reference arm there, on the straight line between its levels.
    - `difference`: the score of the level less that, with the jackknife over models.
    - `reason`: why there is no difference, and else ''.
    """

    level: float
    accuracy: float
    score: float
    reference: float
    difference: Estimate
    reason: str = ""


def matched(reference: Arm, arm: Arm) -> list[Matched]:
    """Each level of an arm beside the reference at its accuracy, with errors by models.

    Only models that both arms have count. A model that is left out by the jackknife is left out of
    both arms, in scores and in accuracies, so that the error is also that of the match.

    **Cost:** O(units³ · levels).
    """
    units = [unit for unit in reference.pairs.units if unit in arm.pairs.units]
    here, there = (
        np.array([held.pairs.units.index(unit) for unit in units], dtype=int)
        for held in (reference, arm)
    )
    whole = _differences(reference, here, arm, there)
    without = [
        _differences(reference, np.delete(here, i), arm, np.delete(there, i)).difference
        for i in range(len(units))
    ]
    low, high = _ends(whole.reference_accuracies)
    found = []
    for i, level in enumerate(arm.pairs.levels):
        accuracy, n = float(whole.accuracies[i]), len(units)
        reason = ""
        if n < FEWEST_UNITS:
            reason = f"fewer than {FEWEST_UNITS} models are in both arms"
        elif not low <= accuracy <= high:
            reason = f"outside the accuracies of the reference, {low:.3f} to {high:.3f}"
        value = float(whole.difference[i])
        left_out = np.array([held[i] for held in without])
        if reason or value != value or not np.isfinite(left_out).all():
            reason = reason or "some model is the only one of its level"
            found.append(
                Matched(level, accuracy, float(whole.scores[i]), NAN,
                        Estimate(NAN, NAN, NAN, n), reason)
            )  # fmt: skip
            continue
        found.append(
            Matched(level, accuracy, float(whole.scores[i]), float(whole.scores[i]) - value,
                    jackknifed(value, left_out))
        )  # fmt: skip
    return found


@dataclass(frozen=True, eq=False)
class _Differences:
    accuracies: np.ndarray  # (levels,) of the arm
    scores: np.ndarray
    difference: np.ndarray
    reference_accuracies: np.ndarray


def _differences(reference: Arm, here: np.ndarray, arm: Arm, there: np.ndarray) -> _Differences:
    known_at, known = reference.curve(here)
    accuracies, scores = arm.curve(there)
    return _Differences(
        accuracies, scores, scores - _between(known_at, known, accuracies), known_at
    )


def _between(x: np.ndarray, y: np.ndarray, at: np.ndarray) -> np.ndarray:
    """y at some places, on straight lines between the points; beyond them along the last line."""
    finite = np.isfinite(x) & np.isfinite(y)
    x, y = x[finite], y[finite]
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    if len(x) < 2:
        return np.full(len(at), np.nan)
    right = np.clip(np.searchsorted(x, at), 1, len(x) - 1)
    width = x[right] - x[right - 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(width > 0, (at - x[right - 1]) / width, 0.5)
    return y[right - 1] + share * (y[right] - y[right - 1])


def _ends(accuracies: np.ndarray) -> tuple[float, float]:
    held = accuracies[np.isfinite(accuracies)]
    return (float(held.min()), float(held.max())) if held.size else (NAN, NAN)


def _mean(rows: np.ndarray) -> np.ndarray:
    """The mean of each row over what is finite; NaN where nothing is."""
    counts = np.isfinite(rows).sum(axis=1)
    return np.nansum(rows, axis=1) / np.where(counts, counts, np.nan)
