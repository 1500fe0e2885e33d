"""The tables of the documentation that are made from declarations.

`python docs/_extension/tables.py` writes them, and a test holds that what is committed is current.
"""

import sys
from pathlib import Path

from samemind.figures.base import FIGURES
from samemind.measures.base import MEASURES, Measure
from samemind.measures.mechanism import MECHANISM_MEASURES
from samemind.measures.of_sets import SET_MEASURES
from samemind.sides.streamed import OF_MOMENTS

DOCS = Path(__file__).parents[1]


def number(bound: float) -> str:
    return {float("inf"): "∞", float("-inf"): "−∞"}.get(bound, f"{bound:.4g}")


def measures() -> str:
    """Every measure with its promises."""
    lines = [
        "| measure | reads | family | range | identical | alike is | changes nothing | "
        "standard error | reference |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for m in sorted(MEASURES.values(), key=lambda m: (m.reads, m.family, m.name)):
        low, high = (number(b) for b in m.bounds)
        alike = "large" if m.larger_is_more_similar else "small"
        same = ", ".join(sorted(i.value for i in m.invariances)) or "–"
        identical = "–" if m.identical is None else f"{m.identical:g}"
        lines.append(
            f"| `{m.name}` | {m.reads} | {m.family} | {low} … {high} | {identical} | {alike} | "
            f"{same} | {standard_error(m)} | {m.reference} |"
        )
    return "\n".join(lines) + "\n"


def standard_error(m: Measure) -> str:
    """Where a measure's standard error comes from."""
    if m.influence_of_inputs is not None:
        return "influence of each input"
    if m.per_input is not None:
        return "mean over inputs"
    return f"on request, by leaving out groups: {m.no_standard_error}"


def what_measures_see() -> str:
    """What the measures that most people use see, and what they cannot see."""
    lines = ["| measure | of | sees | cannot see |", "| --- | --- | --- | --- |"]
    # In the order of a network read from its end: predictions first.
    chosen = [m for m in MEASURES.values() if m.sees]
    for m in sorted(chosen, key=lambda m: (m.reads != "logits", m.family == "neighbours", m.name)):
        of = "predictions" if m.reads == "logits" else "representations"
        lines.append(f"| `{m.name}` | {of} | {m.sees} | {m.cannot_see} |")
    lines.append(
        "| any of them on inverted images | mechanism | whether two models use the same features: "
        "one model's inverted images look like the targets to it alone, unless the other reads "
        "them in the same way | causes that do not show at the compared layer |"
    )
    return "\n".join(lines) + "\n"


def streamed_measures() -> str:
    """The measures for which rows can be read in chunks."""
    return ", ".join(f"`{name}`" for name in sorted(OF_MOMENTS)) + ".\n"


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
        lines.append(f"| {f.paper or '–'} | {f.title} | {f.shows} | `{f.command}` |")
    return "\n".join(lines) + "\n"


TABLES = {
    "measures-table.md": measures,
    "set-measures-table.md": set_measures,
    "mechanism-measures-table.md": mechanism_measures,
    "figures-table.md": figures,
    "measures-see-table.md": what_measures_see,
    "streamed-measures-table.md": streamed_measures,
}
README = DOCS.parent / "README.md"
BEGIN, END = "<!-- made by make tables -->", "<!-- end -->"


def readme() -> str:
    """README.md with its table of what measures see made anew."""
    before, begin, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    return f"{before}{begin}\n\n{what_measures_see()}\n{end}{after}"


def write() -> None:
    for name, make in TABLES.items():
        (DOCS / name).write_text(make(), encoding="utf-8")
    README.write_text(readme(), encoding="utf-8")


if __name__ == "__main__":
    sys.path.insert(0, str(DOCS.parent / "src"))
    write()
