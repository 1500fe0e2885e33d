"""The verdict: one sentence for each aspect, from the rules that docs/verdict.md states.

Nothing here looks at tables: evidence in, sentences out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from samemind.statistics.levels import SMALLEST_RANGE, normalised
from samemind.statistics.trends import FEWEST_UNITS, Interval, Trend

ALPHA = 0.05
SMALLEST_CHANGE = 0.05  # of the way from the floor to the ceiling
UNIVERSAL_LEVEL = 0.9  # of the way from the floor to the ceiling


@dataclass(frozen=True)
class Evidence:
    """What one measure says about one aspect.

    - `floor`, `floor_is`: what would be found without any likeness, and in words what that is.
    - `ceiling`, `ceiling_is`: the similarity of models that differ by their random seed only;
      where the study has one random seed, a bound (`is_ceiling_measured` is then False).
    - `p_value`: corrected for the number of measures of the aspect (Holm).
    """

    measure: str
    trend: Trend
    floor: float
    ceiling: float
    is_ceiling_measured: bool
    p_value: float
    floor_is: str = "its floor"
    ceiling_is: str = "identical models"

    @property
    def level(self) -> Interval:
        """The mean at the highest ε, on the way from the floor (0) to the ceiling (1)."""
        last = self.trend.last
        return Interval(
            *(
                float(normalised(value, self.floor, self.ceiling))
                for value in (last.value, last.lower, last.upper)
            )
        )

    @property
    def direction(self) -> str:
        """'up', 'down', 'flat' (a larger change is ruled out) or 'unclear'."""
        span = self.ceiling - self.floor
        if not span >= SMALLEST_RANGE:
            return "unclear"
        change = self.trend.change
        smallest = SMALLEST_CHANGE * span
        if self.p_value < ALPHA and change.lower > 0 and change.value >= smallest:
            return "up"
        if self.p_value < ALPHA and change.upper < 0 and change.value <= -smallest:
            return "down"
        return "flat" if -smallest < change.lower and change.upper < smallest else "unclear"

    @property
    def standing(self) -> str:
        """'universal', 'distinct' or 'unclear', by the level at the highest ε."""
        if self.level.lower >= UNIVERSAL_LEVEL:
            return "universal"
        if self.is_ceiling_measured and self.level.upper < UNIVERSAL_LEVEL:
            return "distinct"
        return "unclear"


@dataclass(frozen=True)
class Verdict:
    """The sentence for one aspect, or what is missing for one.

    - `answer`: 'universal', 'converging', 'mixed', 'not converging', 'diverging', 'unclear' or
      'none' (no verdict).
    - `words`: the sentence without its numbers. `numbers`: what it rests on, for each measure.
    """

    aspect: str
    answer: str
    words: str
    numbers: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """The whole sentence."""
        return f"{self.words}: {'; '.join(self.numbers)}." if self.numbers else f"{self.words}."


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values corrected for their number, by Holm's step-down rule.

    >>> holm([0.01, 0.04])
    [0.02, 0.04]
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    found, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        found[i] = largest
    return found


def judge(
    aspect: str, evidence: Sequence[Evidence], labels: Sequence[str], missing: Sequence[str] = ()
) -> Verdict:
    """The verdict on one aspect; `labels` are the names of the measures as the reader knows them.

    `missing` says what the study lacks beforehand; then, and with fewer than two levels or four
    models, there is no verdict.
    """
    missing = list(missing)
    if not evidence and not missing:
        missing.append("a measure of this aspect")
    if any(item.trend.n_levels < 2 for item in evidence):
        missing.append("a second ε to compare with")
    fewest = min((item.trend.n_units for item in evidence), default=FEWEST_UNITS)
    if fewest < FEWEST_UNITS:
        missing.append(f"{FEWEST_UNITS} models per ε that differ in architecture (it has {fewest})")
    if any(item.floor != item.floor for item in evidence):
        missing.append("floors (scores of permuted rows)")
    if missing:
        lacks = ", ".join(dict.fromkeys(missing))
        words = f"{aspect}: no verdict. The study would need {lacks}"
        return Verdict(aspect, "none", words, (), tuple(evidence), tuple(missing))
    numbers = [numbers_of(item, label) for item, label in zip(evidence, labels, strict=True)]
    words = f"{aspect} {_direction_words(evidence, labels)}{_standing_words(evidence, labels)}"
    return Verdict(aspect, answer_of(evidence), words, tuple(numbers), tuple(evidence))


def answer_of(evidence: Sequence[Evidence]) -> str:
    """One word for the measures together; 'mixed' where they contradict each other."""
    directions = {item.direction for item in evidence}
    if all(item.standing == "universal" for item in evidence):
        return "universal"
    if directions == {"up"}:
        return "converging"
    if directions == {"down"}:
        return "diverging"
    if "up" in directions:
        return "mixed"
    return "unclear" if directions == {"unclear"} else "not converging"


def _direction_words(evidence: Sequence[Evidence], labels: Sequence[str]) -> str:
    by: dict[str, list[str]] = {}
    for item, label in zip(evidence, labels, strict=True):
        by.setdefault(item.direction, []).append(label)
    if set(by) == {"up"}:
        return "converge with robustness"
    if set(by) == {"down"}:
        return "diverge with robustness"
    if "up" in by:
        others = [label for key, names in by.items() if key != "up" for label in names]
        return f"converge with robustness by {_list(by['up'])}, but not by {_list(others)}"
    if set(by) == {"unclear"}:
        return "show no clear trend with robustness"
    return "do not converge with robustness"


def _standing_words(evidence: Sequence[Evidence], labels: Sequence[str]) -> str:
    standings = [item.standing for item in evidence]
    if all(standing == "universal" for standing in standings):
        link = " and" if all(item.direction == "up" for item in evidence) else ", but"
        return f"{link} are alike to a universal degree"
    universal = [
        label for label, standing in zip(labels, standings, strict=True) if standing == "universal"
    ]
    if universal:
        return f", and reach a universal level by {_list(universal)} only"
    if all(standing == "distinct" for standing in standings):
        return " and remain distinct"
    if not any(item.is_ceiling_measured for item in evidence):
        return " (how alike models can be is not known: the study has one random seed per model)"
    return ", and whether their level is universal is open"


def numbers_of(item: Evidence, label: str) -> str:
    """What the sentence rests on, for one measure."""
    change, last = item.trend.change, item.trend.last
    p_value = "p < 0.001" if item.p_value < 0.001 else f"p = {item.p_value:.2g}"
    ceiling = "another random seed" if item.is_ceiling_measured else item.ceiling_is
    ends = f"{item.floor_is} ({item.floor:.2f}) to {ceiling} ({item.ceiling:.2f})"
    level = item.level.value
    place = (
        f"{100 * level:.0f} % of the way from {ends}"
        if level == level
        else f"not to be placed between ends as near as {ends}"
    )
    return (
        f"{label} changes by {_signed(change.value)} "
        f"(95 % CI {_signed(change.lower)} to {_signed(change.upper)}, {p_value}) to "
        f"{last.value:.2f}, which is {place}"
    )


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


def _list(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
