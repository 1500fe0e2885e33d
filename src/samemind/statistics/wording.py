"""The words of a verdict: which measures rise, which do not, and what is not known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from samemind.statistics.trends import Interval

if TYPE_CHECKING:
    from samemind.statistics.verdict import Evidence

# What is said of the measures of one direction, in this order.
_SAID = {
    "up": "converge with robustness",
    "slightly up": "converge slightly with robustness",
    "down": "diverge with robustness",
    "slightly down": "diverge slightly with robustness",
    "not up": "do not converge with robustness",
}


def words_of(evidence: Sequence[Evidence], labels: Sequence[str]) -> str:
    """What the measures say of direction and level, without numbers."""
    return f"{direction_words(evidence, labels)}{standing_words(evidence, labels)}"


def direction_words(evidence: Sequence[Evidence], labels: Sequence[str]) -> str:
    """Which measures rise, fall or are known not to rise; what is unclear is called that."""
    by: dict[str, list[str]] = {}
    for item, label in zip(evidence, labels, strict=True):
        by.setdefault(_kind(item), []).append(label)
    if len(by) == 1:
        return _SAID.get(next(iter(by)), "show no clear trend with robustness")
    found = [(kind, f"{said} by {listed(by[kind])}") for kind, said in _SAID.items() if kind in by]
    unclear = by.get("unclear", [])
    if unclear and [kind for kind, _ in found] == ["not up"]:
        return (
            f"show no clear trend with robustness by {listed(unclear)}, "
            f"and none upwards by {listed(by['not up'])}"
        )
    rises = bool({"up", "slightly up"} & set(by))
    parts = [text.replace(" with robustness", "") if i else text for i, (_, text) in
             enumerate(found)]  # fmt: skip
    if "not up" in by and rises:
        parts[-1] = f"not by {listed(by['not up'])}"
        text = f"{_joined(parts[:-1])}, but {parts[-1]}"
    else:
        text = _joined(parts)
    return f"{text} (unclear by {listed(unclear)})" if unclear else text


def _kind(item: Evidence) -> str:
    """The direction for the sentence: what is flat, or else known not to rise, is 'not up'."""
    is_plain = item.direction in ("flat", "unclear")
    return "not up" if is_plain and item.is_known_not_to_rise else item.direction


def _joined(parts: Sequence[str]) -> str:
    return " and ".join(parts)


def standing_words(evidence: Sequence[Evidence], labels: Sequence[str]) -> str:
    """What the measures say of the level at the highest ε."""
    standings = [item.standing for item in evidence]
    if all(standing == "universal" for standing in standings):
        link = " and" if all(item.direction == "up" for item in evidence) else ", but"
        return f"{link} are alike to a universal degree"
    universal = [
        label for label, standing in zip(labels, standings, strict=True) if standing == "universal"
    ]
    if universal:
        return f", and reach a universal level by {listed(universal)} only"
    if all(standing == "distinct" for standing in standings):
        return " and remain distinct"
    if not any(item.is_ceiling_measured for item in evidence):
        return " (how alike models can be is not known: the study has one random seed per model)"
    return ", and whether their level is universal is open"


def numbers_of(item: Evidence, label: str) -> str:
    """What the sentence rests on, for one measure."""
    change, last = item.trend.change, item.trend.last
    ceiling = "another random seed" if item.is_ceiling_measured else item.ceiling_is
    ends = f"{item.floor_is} ({item.floor:.2f}) to {ceiling} ({item.ceiling:.2f})"
    level = item.level.value
    place = (
        f"{100 * level:.0f} % of the way from {ends}"
        if level == level
        else f"not to be placed between ends as near as {ends}"
    )
    told = numbers_in(change, item.p_value)
    return f"{label} changes by {told} to {last.value:.2f}, which is {place}"


def numbers_in(found: Interval, p_value: float) -> str:
    """An estimate with its interval and p-value, as a sentence has them."""
    p_text = "p < 0.001" if p_value < 0.001 else f"p = {p_value:.2g}"
    ends = f"{signed(found.lower)} to {signed(found.upper)}"
    return f"{signed(found.value)} (95 % CI {ends}, {p_text})"


def signed(value: float) -> str:
    """A change as it is printed.

    >>> signed(-0.125)
    '−0.12'
    """
    return f"{value:+.2f}".replace("-", "−")


def listed(names: Sequence[str]) -> str:
    """Names as a sentence has them.

    >>> listed(["CKA", "RSA", "PWCCA"])
    'CKA, RSA and PWCCA'
    """
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
