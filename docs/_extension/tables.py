"""The tables of the documentation that are made from declarations.

`python docs/_extension/tables.py` writes them, and a test holds that what is committed is current.
"""

import sys
from pathlib import Path

from samemind.figures.base import FIGURES
from samemind.measures.base import MEASURES
from samemind.measures.mechanism import MECHANISM_MEASURES
from samemind.measures.of_sets import SET_MEASURES

DOCS = Path(__file__).parents[1]


def number(bound: float) -> str:
    return {float("inf"): "∞", float("-inf"): "−∞"}.get(bound, f"{bound:.4g}")


def measures() -> str:
    """Every measure with its promises."""
    lines = [
        "| measure | reads | family | range | identical | alike is | changes nothing | reference |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for m in sorted(MEASURES.values(), key=lambda m: (m.reads, m.family, m.name)):
        low, high = (number(b) for b in m.bounds)
        alike = "large" if m.larger_is_more_similar else "small"
        same = ", ".join(sorted(i.value for i in m.invariances)) or "–"
        identical = "–" if m.identical is None else f"{m.identical:g}"
        lines.append(
            f"| `{m.name}` | {m.reads} | {m.family} | {low} … {high} | {identical} | {alike} | "
            f"{same} | {m.reference} |"
        )
    return "\n".join(lines) + "\n"


def set_measures() -> str:
    """Every measure of a set of models."""
    lines = [
        "| measure | gives | range | alike is | reference |",
        "| --- | --- | --- | --- | --- |",
    ]
    for m in SET_MEASURES.values():
        low, high = (number(b) for b in m.bounds)
        alike = "large" if m.larger_is_more_similar else "small"
        lines.append(f"| `{m.name}` | {m.summary} | {low} … {high} | {alike} | {m.reference} |")
    return "\n".join(lines) + "\n"


def mechanism_measures() -> str:
    """Every measure of mechanisms."""
    lines = ["| measure | gives | reference |", "| --- | --- | --- |"]
    for m in MECHANISM_MEASURES.values():
        lines.append(f"| `{m.name}`, `{m.name}@MEASURE` | {m.summary} | {m.reference} |")
    return "\n".join(lines) + "\n"


def figures() -> str:
    """Every figure of the paper with the command that draws its like."""
    lines = ["| paper | figure | shows | command |", "| --- | --- | --- | --- |"]
    order = sorted(FIGURES.values(), key=lambda f: (not f.paper, f.paper, f.name))
    for f in order:
        lines.append(
            f"| {f.paper or '–'} | {f.title} | {f.shows} | `samemind figure {f.name} STUDY` |"
        )
    return "\n".join(lines) + "\n"


TABLES = {
    "measures-table.md": measures,
    "set-measures-table.md": set_measures,
    "mechanism-measures-table.md": mechanism_measures,
    "figures-table.md": figures,
}


def write() -> None:
    for name, make in TABLES.items():
        (DOCS / name).write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    sys.path.insert(0, str(DOCS.parent / "src"))
    write()
