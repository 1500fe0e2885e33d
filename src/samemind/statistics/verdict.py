"""The verdict on one aspect, from the rules that docs/verdict.md states.

Nothing here looks at tables: evidence in, sentences out. The sentences are made in `wording`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from samemind.statistics.levels import SMALLEST_RANGE, normalised
from samemind.statistics.trends import FEWEST_UNITS, Interval, Trend
from samemind.statistics.wording import numbers_of, words_of

if TYPE_CHECKING:
    from samemind.statistics.contrasts import Contrast

ALPHA = 0.05
SMALLEST_CHANGE = 0.05  # of the way from the floor to the ceiling
UNIVERSAL_LEVEL = 0.9  # of the way from the floor to the ceiling

RISES = frozenset({"up", "slightly up"})
FALLS = frozenset({"down", "slightly down"})


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
    def smallest_change(self) -> float:
        """The change that counts, in units of the measure; NaN where the range means nothing."""
        span = self.ceiling - self.floor
        return SMALLEST_CHANGE * span if span >= SMALLEST_RANGE else float("nan")

    @property
    def direction(self) -> str:
        """'up', 'down', 'slightly up', 'slightly down', 'flat' or 'unclear'.

        'slightly' where the change is known to be there, but smaller than what counts; 'flat'
        where it is not known to be there, and one that counts is ruled out either way.
        """
        change, smallest = self.trend.change, self.smallest_change
        if smallest != smallest:
            return "unclear"
        if self.p_value < ALPHA and change.lower > 0:
            return "up" if change.value >= smallest else "slightly up"
        if self.p_value < ALPHA and change.upper < 0:
            return "down" if change.value <= -smallest else "slightly down"
        return "flat" if -smallest < change.lower and change.upper < smallest else "unclear"

    @property
    def is_known_not_to_rise(self) -> bool:
        """Whether a rise that counts is ruled out, and a small one was not found."""
        return self.direction not in RISES and self.trend.change.upper < self.smallest_change

    @property
    def standing(self) -> str:
        """'universal', 'distinct' or 'unclear', by the level at the highest ε."""
        if self.level.lower >= UNIVERSAL_LEVEL:
            return "universal"
        if self.is_ceiling_measured and self.level.upper < UNIVERSAL_LEVEL:
            return "distinct"
        return "unclear"

    def as_record(self) -> dict[str, Any]:
        """Every number that the sentence rests on, as plain data."""
        found = self.trend
        return {
            "measure": self.measure,
            "direction": self.direction,
            "standing": self.standing,
            "change": asdict(found.change),
            "last_minus_first": asdict(found.difference),
            "p_value": found.p_value,
            "p_value_corrected": self.p_value,
            "smallest_change": self.smallest_change,
            "first": asdict(found.first),
            "last": asdict(found.last),
            "level": asdict(self.level),
            "floor": self.floor,
            "floor_is": self.floor_is,
            "ceiling": self.ceiling,
            "ceiling_is": "another random seed" if self.is_ceiling_measured else self.ceiling_is,
            "n_models": found.n_units,
            "n_epsilons": found.n_levels,
            "models": list(found.units),
        }


@dataclass(frozen=True)
class Verdict:
    """The sentence for one aspect, or what is missing for one.

    - `answer`: one of `ANSWERS`.
    - `words`: the sentence without its numbers. `numbers`: what it rests on, for each measure.
    - `note`: sentences that follow: the models that it rests on, where these are not all; how it
      compares with another setting, of which `contrasts` has the numbers.
    """

    aspect: str
    answer: str
    words: str
    numbers: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    missing: tuple[str, ...] = ()
    note: str = ""
    contrasts: tuple[Contrast, ...] = ()

    @property
    def sentence(self) -> str:
        """The whole sentence, and the note."""
        told = f"{self.words}: {'; '.join(self.numbers)}." if self.numbers else f"{self.words}."
        return f"{told} {self.note}".rstrip()

    def as_record(self) -> dict[str, Any]:
        """Sentence and numbers as plain data."""
        return {
            "aspect": self.aspect,
            "answer": self.answer,
            "sentence": self.sentence,
            "missing": list(self.missing),
            "note": self.note,
            "measures": [item.as_record() for item in self.evidence],
            "contrasts": [item.as_record() for item in self.contrasts],
        }


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values corrected for their number, by Holm's step-down rule.

    A NaN is no test: it stays NaN, and the others are corrected for the tests that there are.

    >>> holm([0.01, 0.04])
    [0.02, 0.04]
    """
    tested = [i for i, p in enumerate(p_values) if p == p]
    found, largest = [float("nan")] * len(p_values), 0.0
    for rank, i in enumerate(sorted(tested, key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(tested) - rank) * p_values[i]))
        found[i] = largest
    return found


def judge(
    aspect: str,
    evidence: Sequence[Evidence],
    labels: Sequence[str],
    missing: Sequence[str] = (),
    note: str = "",
) -> Verdict:
    """The verdict on one aspect; `labels` are the names of the measures as the reader knows them.

    `missing` says what the study lacks beforehand; then, and with fewer than two levels or four
    models, there is no verdict. `note` is a sentence that follows a verdict.
    """
    missing = list(missing)
    if not evidence and not missing:
        missing.append("a measure of this aspect")
    if any(item.trend.n_levels < 2 for item in evidence):
        missing.append("a second ε to compare with")
    fewest = min((item.trend.n_units for item in evidence), default=FEWEST_UNITS)
    if fewest < FEWEST_UNITS:
        missing.append(too_few(fewest))
    if any(item.floor != item.floor for item in evidence):
        missing.append("floors (scores of permuted rows)")
    if missing:
        lacks = ", ".join(dict.fromkeys(missing))
        words = f"{aspect}: no verdict. The study would need {lacks}"
        return Verdict(aspect, "none", words, (), tuple(evidence), tuple(missing))
    numbers = [numbers_of(item, label) for item, label in zip(evidence, labels, strict=True)]
    words = f"{aspect} {words_of(evidence, labels)}"
    return Verdict(aspect, answer_of(evidence), words, tuple(numbers), tuple(evidence), note=note)


def too_few(n_models: int) -> str:
    """What a study lacks that has so few models."""
    return f"{FEWEST_UNITS} models per ε that differ in architecture (it has {n_models})"


#: What a verdict can answer, and when.
ANSWERS = {
    "universal": "every measure has a universal level",
    "converging": "every measure rises, at least one of them by what counts",
    "partly converging": "some go up, and of the others nothing says that they do not",
    "slightly converging": "none goes up or down, but some rise slightly and none falls",
    "mixed": "some rise, and others are known not to",
    "not converging": "every measure is known not to rise, and not all fall",
    "partly diverging": "some go down, and of others it is unclear",
    "diverging": "every measure falls, at least one of them by what counts",
    "unclear": "none of these: the study is too small to tell",
    "none": "the study has one ε, fewer than four architectures (or models), no floor, or no "
    "scores for the aspect; the sentence says which",
}


def answer_of(evidence: Sequence[Evidence]) -> str:
    """One of `ANSWERS` for the measures together; 'mixed' only where they contradict each other."""
    directions = {item.direction for item in evidence}
    falls = bool(directions & FALLS)
    if all(item.standing == "universal" for item in evidence):
        return "universal"
    if "up" in directions:
        if directions <= RISES:
            return "converging"
        is_denied = any(item.is_known_not_to_rise for item in evidence)
        return "mixed" if falls or is_denied else "partly converging"
    if "slightly up" in directions:
        return "mixed" if falls else "slightly converging"
    if "down" in directions and directions <= FALLS:
        return "diverging"
    if all(item.is_known_not_to_rise for item in evidence):
        return "not converging"
    return "partly diverging" if "down" in directions else "unclear"
