"""The verdict under each convention, side by side: how much of it depends on the reading."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from samemind.figures.base import Results
from samemind.figures.evidence import verdicts
from samemind.lazy import pd
from samemind.measures.conventions import CONVENTIONS, QUANTITIES
from samemind.reporting.table import Table
from samemind.statistics.wording import signed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from samemind.statistics.verdict import Evidence, Verdict

TITLES = {"jsd": "JSDSim", "cka": "Linear CKA", "procrustes": "ProcrustesSim"}
NAMES = {"as_printed": "As printed", "authors_code": "Authors' code"}


def by_convention(results: Results) -> Table:
    """A row per aspect and quantity, a column per convention; empty where there is no choice.

    There is a choice where the results have every reading of two conventions that differ.
    """
    held = set(results.defined["measure"])
    able = [c for c in CONVENTIONS.values() if set(c.measures) <= held]
    caption = (
        "The verdict under each convention. For each quantity: the reading, its mean at the "
        "lowest and the highest ε, what it does (the change along the line, with the 95 % "
        "confidence interval), and how far it is from floor to ceiling at the highest ε. Agreement "
        "and k-NN Jaccard are the same under all."
    )
    title = "What depends on the reading"
    if len({c.measures for c in able}) < 2:
        return Table("conventions", title, caption, pd.DataFrame(), {})
    found = {
        c.name: [pair for pair in verdicts(replace(results, convention=c.name)) if pair[1].evidence]
        for c in able
    }
    first = found[able[0].name]
    rows = [
        {"Dataset": dataset, "Aspect": verdict.aspect, "Quantity": quantity}
        | {
            NAMES.get(name, "Recommended"): _cell(quantity, place[i][1])
            for name, place in found.items()
        }
        for i, (dataset, verdict) in enumerate(first)
        for quantity in ("Answer", *_quantities(verdict))
    ]
    frame = pd.DataFrame(rows)
    if len(frame) and frame["Dataset"].nunique() == 1:
        frame = frame.drop(columns="Dataset")
    return Table("conventions", title, caption, frame, {})


def _quantities(verdict: Verdict) -> Iterator[str]:
    held = {item.measure for item in verdict.evidence}
    return (TITLES[q] for q, readings in QUANTITIES.items() if held & set(readings))


def _cell(quantity: str, verdict: Verdict) -> str:
    if quantity == "Answer":
        return verdict.answer
    key = next(key for key, title in TITLES.items() if title == quantity)
    item = next(item for item in verdict.evidence if item.measure in QUANTITIES[key])
    return f"{item.measure}: {_numbers(item)}"


def _numbers(item: Evidence) -> str:
    found, level = item.trend, item.level.value
    change = found.change
    place = f", {100 * level:.0f} % of the way" if level == level else ""
    return (
        f"{found.first.value:.2f} to {found.last.value:.2f}, {item.direction} by "
        f"{signed(change.value)} ({signed(change.lower)} to {signed(change.upper)}){place}"
    ).replace("-", "−")
