"""Whether two settings differ: inputs of another dataset, or models trained on another.

The same models, or models of the same architectures, stand in both, so that their differences are
what is looked at, pair by pair and model by model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from samemind.statistics.pairs import PairScores
from samemind.statistics.trends import FEWEST_UNITS, Estimate, Interval, estimate, line_contrast
from samemind.statistics.verdict import ALPHA, SMALLEST_CHANGE, holm
from samemind.statistics.wording import listed, numbers_in

#: What a contrast can answer, and when.
CONTRAST_ANSWERS = {
    "differs": "change or level is known to differ by one measure or more",
    "alike": "every measure rules out a difference that counts, in change and level",
    "unclear": "none of these: the study is too small to tell",
}


@dataclass(frozen=True)
class Contrast:
    """How one measure differs between two settings, the second minus the first.

    - `change`: of the change along the line over ε; `level`: of the mean at the highest common ε.
    - `p_change`, `p_level`: two-sided, corrected for the number of measures (Holm).
    - `smallest`: the difference that counts, in units of the measure.
    - `units`: the models, or architectures, that both have.
    """

    measure: str
    change: Interval
    level: Interval
    p_change: float
    p_level: float
    smallest: float
    units: tuple[str, ...]
    epsilon: float

    def answer(self, what: str) -> str:
        """'larger', 'smaller', 'alike' or 'unclear', of "change" or "level"."""
        found: Interval = getattr(self, what)
        if getattr(self, f"p_{what}") < ALPHA:
            return "larger" if found.value > 0 else "smaller"
        is_small = -self.smallest < found.lower and found.upper < self.smallest
        return "alike" if is_small else "unclear"

    def as_record(self) -> dict[str, Any]:
        """Every number as plain data."""
        return asdict(self) | {
            "units": list(self.units),
            "change_is": self.answer("change"),
            "level_is": self.answer("level"),
        }


def contrast(
    settings: Sequence[tuple[str, PairScores, PairScores, float]],
) -> list[Contrast]:
    """A contrast for each (measure, first setting, second setting, span of the measure).

    Only units and levels that both settings have count. What four units do not suffice for is
    NaN, and unclear.
    """
    differences = [_difference(first, second) for _, first, second, _ in settings]
    found = [_estimates(pairs) for pairs in differences]
    corrected = [holm([pair[i].p_value() for pair in found]) for i in (0, 1)]
    return [
        Contrast(
            measure=measure,
            change=change.interval(),
            level=level.interval(),
            p_change=p_change,
            p_level=p_level,
            smallest=SMALLEST_CHANGE * span,
            units=pairs.units,
            epsilon=pairs.levels[-1] if pairs.levels else float("nan"),
        )
        for (measure, _, _, span), pairs, (change, level), p_change, p_level in zip(
            settings, differences, found, *corrected, strict=True
        )
    ]


def _difference(first: PairScores, second: PairScores) -> PairScores:
    """Second minus first, of the pairs and levels that both have; units in order of name."""
    levels = tuple(level for level in first.levels if level in second.levels)
    units = tuple(unit for unit in first.units if unit in second.units)

    def chosen(pairs: PairScores) -> np.ndarray:
        at = np.array([pairs.levels.index(level) for level in levels], dtype=int)
        of = np.array([pairs.units.index(unit) for unit in units], dtype=int)
        return pairs.scores[np.ix_(at, of, of)]

    return PairScores(chosen(second) - chosen(first), levels, units)


def _estimates(pairs: PairScores) -> tuple[Estimate, Estimate]:
    """Of the change and of the level; NaN where there are too few levels or units."""
    n_levels = len(pairs.levels)
    nothing = Estimate(float("nan"), float("nan"), float("nan"), len(pairs.units))
    if not n_levels or len(pairs.units) < FEWEST_UNITS:
        return nothing, nothing
    level = estimate(pairs, np.eye(n_levels)[-1])
    return (estimate(pairs, line_contrast(n_levels)) if n_levels > 1 else nothing), level


def contrast_answer(contrasts: Sequence[Contrast]) -> str:
    """One of `CONTRAST_ANSWERS` for the measures together."""
    found = {item.answer(what) for item in contrasts for what in ("change", "level")}
    if found & {"larger", "smaller"}:
        return "differs"
    return "alike" if found == {"alike"} else "unclear"


def contrast_words(contrasts: Sequence[Contrast], labels: Sequence[str]) -> str:
    """What the measures say of change and level, as the end of a sentence with its numbers."""
    said = [
        ("change", "the change with robustness is"),
        ("level", f"the level at ε = {contrasts[0].epsilon:g} is"),
    ]
    parts = []
    for what, start in said:
        by: dict[str, list[str]] = {}
        for item, label in zip(contrasts, labels, strict=True):
            by.setdefault(item.answer(what), []).append(label)
        kinds = {"larger": "larger", "smaller": "smaller", "alike": "the same",
                 "unclear": "not told apart"}  # fmt: skip
        told = [
            f"{kinds[kind]}{f' by {listed(by[kind])}' if len(by) > 1 else ''}"
            for kind in kinds
            if kind in by
        ]
        parts.append(f"{start} {listed(told)}")
    numbers = [
        f"{label} {numbers_in(item.change, item.p_change)} in change, "
        f"{numbers_in(item.level, item.p_level)} in level"
        for item, label in zip(contrasts, labels, strict=True)
    ]
    return f"{' and '.join(parts)} ({'; '.join(numbers)})"
