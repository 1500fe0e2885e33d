"""A table of a report: as it is printed, as CSV for machines and as LaTeX (booktabs) for papers."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samemind.figures.style import measure_label
from samemind.lazy import pd

MANY_COLUMNS = 8  # a page of a paper has no room for more at its own size


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
        """The cells as they are printed, row by row; what is undefined is an en dash.

        Measures have the names that figures give them.
        """
        columns = [(column, self.formats.get(str(column), "")) for column in self.frame.columns]
        return [
            [
                measure_label(str(row[column]))
                if str(column).lower() == "measure"
                else text_of(row[column], form)
                for column, form in columns
            ]
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
    r"""The table in LaTeX with booktabs rules: numbers to the right, text to the left.

    Measures have the names that figures give them, `\label{tab:NAME}` refers to it, and a column
    that says the same in every row is said once, in the caption.
    """
    escape = escape or escape_latex
    texts = table.texts()
    columns = [heading(column) for column in table.frame.columns]
    constant = _constant(columns, texts)
    told = [i for i in constant if texts[0][i] != "–"]
    caption = table.caption + "".join(
        f" {columns[i]}: {texts[0][i]}{'.' if i == told[-1] else ';'}" for i in told
    )
    kept = [i for i in range(len(columns)) if i not in constant]
    is_number = [
        all(re.fullmatch(r"[−–\-+<]?[\d.,]*[*†%]*", row[i]) for row in texts) for i in kept
    ]
    spec = "".join("r" if number else "l" for number in is_number)
    head = " & ".join(escape(columns[i]) for i in kept)
    body = "\n".join("  " + " & ".join(escape(row[i]) for i in kept) + r" \\" for row in texts)
    tight = "  \\small\\setlength{\\tabcolsep}{3pt}\n" if len(kept) > MANY_COLUMNS else ""
    label = re.sub(r"[^\w.-]+", "-", table.name)
    return (
        "% needs \\usepackage{booktabs}\n"
        "\\begin{table}\n  \\centering\n"
        f"  \\caption{{{escape(caption)}}}\n  \\label{{tab:{label}}}\n{tight}"
        f"  \\begin{{tabular}}{{{spec}}}\n  \\toprule\n  {head} \\\\\n  \\midrule\n"
        f"{body}\n  \\bottomrule\n  \\end{{tabular}}\n\\end{{table}}\n"
    )


def _constant(columns: Sequence[str], texts: Sequence[Sequence[str]]) -> list[int]:
    """The columns that say the same in each of several rows, while two others are left."""
    if len(texts) < 2:
        return []
    found = [i for i in range(len(columns)) if len({row[i] for row in texts}) == 1]
    return found if len(columns) - len(found) >= 2 else []


def heading(column: object) -> str:
    """A column's name in words: `model_a` is model a."""
    return str(column).replace("_", " ")


def math(number: str) -> str:
    """A number with the minus sign of mathematics."""
    return number.replace("-", "$-$")


LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "†": r"\dag{}", "…": r"\dots{}",
    "ε": r"$\varepsilon$", "σ": r"$\sigma$", "ρ": r"$\rho$", "–": "--", "−": "$-$",
    "×": r"$\times$", "·": r"$\cdot$", "±": r"$\pm$", "→": r"$\to$", "<": "$<$", ">": "$>$",
    "≤": r"$\le$", "≥": r"$\ge$", "²": "$^2$", "⅓": r"$\frac13$", "⅔": r"$\frac23$",
}  # fmt: skip


def escape_latex(text: str) -> str:
    """The text with everything that LaTeX would read as a command made literal, on one line."""
    return "".join(LATEX.get(c, c if c.isprintable() else " ") for c in text)


def not_a_formula(value: Any) -> Any:
    """The value; a text that a spreadsheet would execute gets an apostrophe before it."""
    is_formula = isinstance(value, str) and bool(re.match(r"[=+@\t\r]|-(?![\d.])", value))
    return f"'{value}" if is_formula else value
