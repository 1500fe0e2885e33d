"""A table of a report: as it is printed, as CSV for machines and as LaTeX (booktabs) for papers."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samemind.lazy import pd


@dataclass(frozen=True, eq=False)
class Table:
    """A table with its file name, caption and numbers; the first `n_keys` columns are text."""

    name: str
    title: str
    caption: str
    frame: pd.DataFrame
    formats: dict[str, str]
    paper: str = ""

    def texts(self) -> list[list[str]]:
        """The cells as they are printed, row by row; what is undefined is an en dash."""
        columns = [(column, self.formats.get(str(column), "")) for column in self.frame.columns]
        return [
            [text_of(row[column], form) for column, form in columns]
            for row in self.frame.to_dict("records")
        ]


def text_of(value: object, form: str = "") -> str:
    """A number or a name as it is printed; an en dash for what is not there."""
    if value is None or value != value:
        return "–"
    if form == "p":
        return "<0.001" if float(str(value)) < 0.001 else f"{value:.3f}"
    return format(value, form).replace("-", "−") if form else str(value)


def write_table(table: Table, folder: Path) -> None:
    """Writes NAME.csv (full precision) and NAME.tex (as printed)."""
    name = re.sub(r"[^\w.-]+", "-", table.name)
    table.frame.map(not_a_formula).to_csv(folder / f"{name}.csv", index=False)
    (folder / f"{name}.tex").write_text(latex(table), encoding="utf-8")


def latex(table: Table, escape: Callable[[str], str] | None = None) -> str:
    """The table in LaTeX with booktabs rules: numbers to the right, text to the left."""
    escape = escape or escape_latex
    texts = table.texts()
    is_text = [
        not all(re.fullmatch(r"[−–\-+<]?[\d.,]*[*†%]*", row[i]) for row in texts)
        for i in range(len(table.frame.columns))
    ]
    spec = "".join("l" if text else "r" for text in is_text)
    head = " & ".join(escape(str(column)) for column in table.frame.columns)
    body = "\n".join("  " + " & ".join(map(escape, row)) + r" \\" for row in texts)
    return (
        "% needs \\usepackage{booktabs}\n"
        "\\begin{table}\n  \\centering\n"
        f"  \\caption{{{escape(table.caption)}}}\n"
        f"  \\begin{{tabular}}{{{spec}}}\n  \\toprule\n  {head} \\\\\n  \\midrule\n"
        f"{body}\n  \\bottomrule\n  \\end{{tabular}}\n\\end{{table}}\n"
    )


LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "†": r"\dag{}",
    "ε": r"$\varepsilon$", "–": "--", "−": "$-$", "×": r"$\times$", "<": "$<$", ">": "$>$",
}  # fmt: skip


def escape_latex(text: str) -> str:
    """The text with everything that LaTeX would read as a command made literal, on one line."""
    return "".join(LATEX.get(c, c if c.isprintable() else " ") for c in text)


def not_a_formula(value: Any) -> Any:
    """The value; a text that a spreadsheet would execute gets an apostrophe before it."""
    is_formula = isinstance(value, str) and bool(re.match(r"[=+@\t\r]|-(?![\d.])", value))
    return f"'{value}" if is_formula else value
